import { readFileSync } from "node:fs";
import { ServerCredentials } from "@grpc/grpc-js";
import { ApiServerSettingsError, type TcpSecurity } from "./settings.ts";

/**
 * Credentials for TCP. With TLS, a client without a certificate of `clientCa` does not get past the handshake.
 * @throws ApiServerSettingsError when a file cannot be read or used
 */
export function credentialsFor(security: TcpSecurity): ServerCredentials {
  if (security.kind === "insecure") return ServerCredentials.createInsecure();
  const ca = readPem("tls-client-ca", security.clientCa);
  const pair = {
    cert_chain: readPem("tls-cert", security.cert),
    private_key: readPem("tls-key", security.key),
  };
  try {
    return ServerCredentials.createSsl(ca, [pair], true);
  } catch (error) {
    throw new ApiServerSettingsError(`use ${security.cert} with ${security.key}`, { cause: error });
  }
}

function readPem(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new ApiServerSettingsError(`${flag}: read ${path}: ${(error as Error).message}`, { cause: error });
  }
}
