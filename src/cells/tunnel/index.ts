export { tunnelCell } from "./cell.ts";
