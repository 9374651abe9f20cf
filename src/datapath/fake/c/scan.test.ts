import test from "ava";
import type { CompileInput } from "../../types.ts";
import { findDeclarations } from "./declarations.ts";
import { preprocess } from "./preprocess.ts";

function scan(files: Readonly<Record<string, string>>): ReturnType<typeof findDeclarations> {
  const input: CompileInput = { source: "/p/a.c", includes: ["/p/include"], defines: { SIZE: 7 } };
  return findDeclarations(preprocess(input, (path) => files[path]));
}

test("programs, maps, constants and structs are found through macros and includes", (t) => {
  const found = scan({
    "/p/a.c": `
      #include <linux/bpf.h>
      #include "b.h"
      #include "b.h"
      CONFIG(__u32, cfg_answer, 42); /* SEC("tc") int comment(void) {} */
      CONFIG_MAC(cfg_mac);
      struct pair { __u8 a; __u32 b; union { __be32 ip4; __u8 ip[16]; }; __u8 x : 1, y : 7; __u16 z[2]; };
      struct { __uint(type, BPF_MAP_TYPE_LPM_TRIE); __uint(max_entries, 1 << SIZE);
               __uint(map_flags, BPF_F_NO_PREALLOC);
               __type(key, struct pair); __type(value, __u64); } trie SEC(".maps");
      struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, COUNT);
               __uint(key_size, sizeof(__u32)); __uint(value_size, sizeof(struct pair)); } counts SEC(".maps");
      static __always_inline int helper(struct __sk_buff *ctx);
      static __always_inline int helper(struct __sk_buff *ctx) { return ctx->len; }
      SEC("tc") int program(struct __sk_buff *ctx) { static int local; return helper(ctx) + local; }
      HOOK(first) { return 1; }
      char license[] SEC("license") = "GPL";
    `,
    "/p/b.h": `
      #define COUNT (2 * 8)
      #define CONFIG(type, name, default_value) \\
        const volatile type name SEC(".rodata.config") = default_value
      #define CONFIG_MAC(name) const volatile __u8 name[6] SEC(".rodata.config") = {0}
      #define HOOK(name) DEFINE_HOOK(name)
      #define DEFINE_HOOK(name) _Static_assert(1, "HOOK(" #name ")"); \\
        const volatile __u32 cfg_pos_##name SEC(".rodata.config") = 0; \\
        static int body_##name(struct __sk_buff *ctx); \\
        SEC("tc") int name(struct __sk_buff *ctx) { return body_##name(ctx); } \\
        static int body_##name(struct __sk_buff *ctx)
    `,
  });
  t.deepEqual(
    found.programs.map(({ name, section }) => `${name} ${section}`),
    ["program tc", "first tc"],
  );
  t.deepEqual(found.constants, [
    { name: "cfg_answer", size: 4, section: ".rodata.config" },
    { name: "cfg_mac", size: 6, section: ".rodata.config" },
    { name: "cfg_pos_first", size: 4, section: ".rodata.config" },
  ]);
  t.deepEqual(found.maps, [
    { name: "trie", type: 11, keySize: 32, valueSize: 8, maxEntries: 128, flags: 1 },
    { name: "counts", type: 6, keySize: 4, valueSize: 32, maxEntries: 16, flags: 0 },
  ]);
  t.deepEqual(found.structs[0]?.members, [
    { name: "a", offset: 0, size: 1 },
    { name: "b", offset: 4, size: 4 },
    { name: "ip4", offset: 8, size: 4 },
    { name: "ip", offset: 8, size: 16 },
    { name: "x", offset: 24, size: 1 },
    { name: "y", offset: 24, size: 1 },
    { name: "z", offset: 26, size: 4 },
  ]);
  t.deepEqual(found.dataSections, [".rodata.config"]);
});

test("a header without a guard is read again, with the macros of that place and the branches they choose", (t) => {
  const found = scan({
    "/p/a.c": `
      #include "four.h"
      #include "logic.h"
      #undef F
      #undef IPV
      #define F(name) name##_v6
      #define IPV 6
      #include "logic.h"
      #ifdef NEVER
      SEC("tc") int never(void) { return 0; }
      #endif
    `,
    "/p/four.h": "#define F(name) name##_v4\n#define IPV 4\n",
    "/p/logic.h": `
      #ifndef ONCE
      #define ONCE
      #define map_v4 cilium_4
      #define SELF(x) SELF(x) /* is not expanded for ever */
      #endif
      struct F(key) {
      #if IPV == 4 && !defined(NEVER)
        __be32 address;
      #elif IPV >= 5
        __u8 address[16];
      #else
        #include "nowhere.h"
      #endif
      };
      struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1); __type(key, struct F(key));
               __type(value, __u32); } F(map) SEC(".maps");
      SEC("tc") int F(program)(struct __sk_buff *ctx) { return SELF(1); }
    `,
  });
  t.deepEqual(
    found.programs.map(({ name }) => name),
    ["program_v4", "program_v6"],
  );
  t.deepEqual(
    found.maps.map(({ name, keySize }) => [name, keySize]),
    [
      ["cilium_4", 4],
      ["map_v6", 16],
    ],
  );
});

test("a type of an unnamed struct has the size of its members, arrays included", (t) => {
  const { structs } = scan({
    "/p/a.c": `
      typedef struct { __u64 word[2]; } addr;
      struct pair { addr both[2]; addr one; __u8 last; } __attribute__((packed));
    `,
  });
  t.is(structs.find(({ name }) => name === "pair")?.size, 49);
});

test("global variables show as data sections", (t) => {
  t.deepEqual(scan({ "/p/a.c": "static int counter;" }).dataSections, [".bss"]);
  t.deepEqual(scan({ "/p/a.c": "int counter = 5;" }).dataSections, [".data"]);
  t.deepEqual(scan({ "/p/a.c": "int prototype(void);" }).dataSections, []);
});

test("an include that is nowhere is a compile error at its line", (t) => {
  t.throws(() => scan({ "/p/a.c": '\n#include "nowhere.h"\n' }), {
    message: /a\.c:2:1: error: 'nowhere\.h'/,
  });
  t.throws(() => scan({ "/p/a.c": '#include "a.c"' }), { message: /includes never end/ });
  t.throws(() => scan({ "/p/a.c": "int f(void) {" }), { message: /never closed/ });
});
