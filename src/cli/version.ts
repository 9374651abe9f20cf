import { packageVersion } from "../version.ts";

/** Version of this package. */
export const version: string = packageVersion();
