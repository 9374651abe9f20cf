import { statSync } from "node:fs";
import test from "ava";
import { DatapathError, errnoName, layoutDifference, MapLayoutError, VerifierError } from "./errors.ts";

const layout = { type: 1, keySize: 4, valueSize: 8, maxEntries: 16, flags: 0 };

test("an error says operation, object, and the kernel's answer in words and by name", (t) => {
  const error = new DatapathError({
    operation: "update",
    object: "map cilium_lxc",
    errno: 2,
    detail: "slot 3",
  });
  t.is(error.message, "update map cilium_lxc: no such file or directory (ENOENT): slot 3");
  t.is(error.errnoName, "ENOENT");
  t.is(error.status, "NOT_FOUND");
});

test("codes of the kernel and of libbpf that the system's tables lack have names too", (t) => {
  t.is(errnoName(524), "ENOTSUPP");
  t.is(errnoName(4001), "LIBBPF_ERRNO__FORMAT");
  t.is(errnoName(11), "EAGAIN");
  t.is(errnoName(99_999), "errno 99999");
});

test("a failed call of Node.js keeps its errno and becomes the cause", (t) => {
  const cause = t.throws(() => statSync("/proc/self/nothing"));
  const error = DatapathError.from(cause, "look at", "/proc/self/nothing");
  t.is(error.errnoName, "ENOENT");
  t.is(error.cause, cause);
  t.is(DatapathError.from(error, "again", "elsewhere"), error);
  t.regex(DatapathError.from(new Error("odd"), "do", "it").message, /^do it: odd$/);
});

test("an error without any reason still says what failed", (t) => {
  t.is(new DatapathError({ operation: "do", object: "it" }).message, "do it: failed");
});

test("a layout error lists only what differs, with both sides", (t) => {
  const actual = { ...layout, valueSize: 16, flags: 1 };
  t.is(layoutDifference(layout, actual), "value size 8, found 16; flags 0, found 1");
  t.is(layoutDifference(layout, layout), "");
  const error = new MapLayoutError({ operation: "use", object: "map m", expected: layout, actual });
  t.is(error.message, "use map m: layout differs: value size 8, found 16; flags 0, found 1");
  t.is(error.status, "FAILED_PRECONDITION");
});

test("a verifier error leads with the reason and the C line", (t) => {
  const error = new VerifierError({
    ...{ object: "/cache/a.o", program: "hook", errno: 13, log: "…", lastLines: ["R0 !read_ok"] },
    sourceLine: "return x; @ a.c:3",
  });
  t.is(
    error.message,
    "verify program hook of /cache/a.o: permission denied (EACCES): the verifier says:\n  R0 !read_ok\n  at: return x; @ a.c:3",
  );
  t.true(error instanceof DatapathError);
});
