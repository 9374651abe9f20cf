// What the empty gRPC server serves: bytes for bytes.

const same = (value: Buffer): Buffer => value;

export const echoService = {
  echo: {
    path: "/bench.Echo/Echo",
    requestStream: false,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  },
} as const;
