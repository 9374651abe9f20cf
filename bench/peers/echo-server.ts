// An empty gRPC server of @grpc/grpc-js on a Unix socket: answers every call with what it was sent. What an API server
// in Node.js can reach at most. Argument: path of the socket.

import { Server, ServerCredentials } from "@grpc/grpc-js";
import { echoService } from "../echo-service.ts";

const server = new Server();
server.addService(echoService, {
  echo: (call: { readonly request: Buffer }, reply: (error: null, answer: Buffer) => void) =>
    reply(null, call.request),
});
server.bindAsync(`unix:${process.argv[2]}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  process.stdout.write("ready\n");
});
