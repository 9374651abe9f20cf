import test from "ava";
import { RefusalError } from "../errors.ts";
import { parseManifest } from "./manifest.ts";

const valid = `apiVersion: waggle/v1
name: audit
version: 1.2.3
description: Counts what it sees
attachmentPolicy: BestEffort
priority: 50
hooks:
  - point: to_container_pre_ct_v4
    before: [firewall]
    after: [early]
  - point: from_netdev_v4
config:
  - name: rate
    type: u32
    default: 100
    min: 1
    max: 1000
    description: One packet in this many
  - name: verbose
    type: bool
    default: true
records:
  - map: seen
    fields:
      - { name: saddr, offset: 0, type: ipv4 }
      - { name: port, offset: 4, type: be16 }
      - { name: mac, offset: 6, type: bytes, size: 6 }
`;

/** Violations of a manifest, as "line: description". */
function faults(text: string): string[] {
  try {
    parseManifest(text);
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    return error.violations.map(
      ({ field, description }) => `${field.replace("plugin.yaml:", "")}: ${description}`,
    );
  }
  return [];
}

test("a complete manifest is read with all its fields", (t) => {
  t.deepEqual(parseManifest(valid), {
    name: "audit",
    version: "1.2.3",
    description: "Counts what it sees",
    attachmentPolicy: "BestEffort",
    priority: 50,
    hooks: [
      { point: "to_container_pre_ct_v4", before: ["firewall"], after: ["early"] },
      { point: "from_netdev_v4", before: [], after: [] },
    ],
    config: [
      {
        name: "rate",
        type: "u32",
        default: 100n,
        min: 1n,
        max: 1000n,
        description: "One packet in this many",
      },
      { name: "verbose", type: "bool", default: 1n, min: 0n, max: 1n, description: "" },
    ],
    records: [
      {
        map: "seen",
        fields: [
          { name: "saddr", offset: 0, type: "ipv4", size: 4 },
          { name: "port", offset: 4, type: "be16", size: 2 },
          { name: "mac", offset: 6, type: "bytes", size: 6 },
        ],
      },
    ],
  });
});

test("a short manifest is Always, priority 100, without config", (t) => {
  const manifest = parseManifest(
    "apiVersion: waggle/v1\nname: a\nversion: 0.1.0\nhooks: [{point: to_host_v4}]\n",
  );
  t.is(manifest.attachmentPolicy, "Always");
  t.is(manifest.priority, 100);
  t.deepEqual(manifest.config, []);
  t.deepEqual(manifest.records, []);
});

test("an unknown hook point is refused with its line and the one that was meant", (t) => {
  const [fault] = faults(valid.replace("from_netdev_v4", "from_nowhere_v4"));
  t.regex(fault!, /^11: point: "from_nowhere_v4" is no hook point; the nearest is from_netdev_v4;/);
});

test("every fault is reported at once, each with its line", (t) => {
  const found = faults(
    valid.replace("name: audit", "name: Audit!").replace("1.2.3", "one").replace("50", "early"),
  );
  t.is(found.length, 3);
  t.true(found[0]!.startsWith("2: name:"));
  t.true(found[1]!.startsWith("3: version:"));
  t.true(found[2]!.startsWith("6: priority:"));
});

test("broken YAML is refused with the line where it breaks", (t) => {
  const [fault] = faults("apiVersion: waggle/v1\nname: [unclosed\nversion: 1.0.0\n");
  t.regex(fault!, /^[23]: /);
});

test("a misspelt field is refused with the fields there are", (t) => {
  const [fault] = faults(valid.replace("attachmentPolicy", "attachmentpolicy"));
  t.regex(fault!, /^5: attachmentpolicy is no field; known: .*attachmentPolicy/);
});

test("missing fields are named", (t) => {
  const found = faults("description: nothing else\n").join("\n");
  for (const field of ["apiVersion", "name", "version", "hooks"])
    t.true(found.includes(`${field} is missing`));
});

test("a default outside its own limits is refused", (t) => {
  const [fault] = faults(valid.replace("default: 100", "default: 0"));
  t.is(fault, "15: default: must be a whole number from 1 to 1000");
});

test("a hook point or config field listed twice is refused", (t) => {
  t.regex(faults(valid.replace("from_netdev_v4", "to_container_pre_ct_v4"))[0]!, /listed twice/);
  t.regex(faults(valid.replace("name: verbose", "name: rate"))[0]!, /declared twice/);
});

test("faults in the layout of a record are reported with their lines", (t) => {
  const found = faults(
    valid
      .replace("name: port", "name: saddr")
      .replace("type: ipv4", "type: ipv5")
      .replace(", size: 6", "")
      .replace("offset: 4", "offset: -4"),
  );
  t.deepEqual(found, [
    '25: type: "ipv5" must be one of u8, u16, u32, u64, be16, be32, ipv4, ipv6, bytes',
    "26: offset: must be a whole number from 0 to 65535",
    "27: size is missing: how many bytes",
  ]);
  t.deepEqual(faults(valid.replace("name: port", "name: saddr")), ["26: name: saddr is declared twice"]);
  t.deepEqual(faults(valid.replace("type: be16", "type: be16, size: 4")), [
    "26: size: must be a whole number from 2 to 2",
  ]);
  t.deepEqual(faults(`${valid}  - map: seen\n    fields: []\n  - map: 1x\n`), [
    "28: map: seen has two layouts",
    "29: fields: must be 1 to 64 fields",
    '30: map: "1x" is no C identifier',
    "30: fields is missing",
  ]);
});

test("text that is no mapping is refused", (t) => {
  t.regex(faults("just words\n")[0]!, /is no mapping/);
  t.regex(faults("")[0]!, /is no mapping/);
});
