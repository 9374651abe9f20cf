export { packageVersion as apiVersion } from "../version.ts";
