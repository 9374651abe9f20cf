import test from "ava";
import { DatapathError } from "../errors.ts";
import { MapType, type ObjectDescription, type StructLayout } from "../types.ts";
import {
  checkLayouts,
  ct4Map,
  ct6Map,
  encode,
  eventsMap,
  fragments6Map,
  globalMapSpecs,
  hookStatsMap,
  ipcacheMap,
  LayoutDriftError,
  LbAlgorithm,
  lb4AffinityMap,
  lb4BackendsMap,
  lb4ReverseNatMap,
  lb4ServicesMap,
  lb6AffinityMap,
  lb6BackendsMap,
  lb6ServicesMap,
  lbMaglevMap,
  lxcMap,
  MAGLEV_TABLE_SIZE,
  MAX_AFFINITY_TIMEOUT_S,
  mapSpecByName,
  mapSpecs,
  metricsMap,
  packFrontend,
  policyEntry,
  policyMap,
  policyMapOf,
  SCRATCH_MAP,
  scratchMapSpec,
  snat4Map,
  snat6Map,
  TupleFlag,
  unpackFrontend,
} from "./index.ts";

test("the packets' state needs a record for each CPU that the machine may have", (t) => {
  const scratch = { name: SCRATCH_MAP, type: MapType.array, keySize: 4, valueSize: 192, maxEntries: 8 };
  const object = (maps: ObjectDescription["maps"]): ObjectDescription => ({ ...objectWith(), maps });
  t.is(scratchMapSpec(object([scratch]), 8), scratch);
  t.throws(() => scratchMapSpec(object([scratch]), 9), { message: /9 CPUs are possible.* 8 at most/ });
  t.throws(() => scratchMapSpec(object([]), 1), { message: /declares no such map/ });
});

test("keys and values have the sizes of the field notes", (t) => {
  const sizes = (name: string): readonly number[] => {
    const spec = mapSpecs.get(name)!;
    return [spec.keySize, spec.valueSize, spec.maxEntries];
  };
  t.deepEqual(sizes("cilium_lxc"), [20, 48, 65535]);
  t.deepEqual(sizes("cilium_ipcache"), [24, 24, 512000]);
  t.deepEqual(sizes("cilium_lb4_services_v2"), [12, 12, 262144]);
  t.deepEqual(sizes("cilium_lb6_services_v2"), [24, 12, 262144]);
  t.deepEqual(sizes("cilium_lb4_backends_v2"), [4, 12, 131072]);
  t.deepEqual(sizes("cilium_lb6_backends_v3"), [4, 24, 131072]);
  t.deepEqual(sizes("cilium_lb4_reverse_nat"), [2, 6, 65536]);
  t.deepEqual(sizes("cilium_lb6_reverse_nat"), [2, 18, 65536]);
  t.deepEqual(sizes("cilium_lb4_affinity"), [16, 16, 65536]);
  t.deepEqual(sizes("cilium_lb6_affinity"), [24, 16, 65536]);
  t.deepEqual(sizes("cilium_lb_affinity_match"), [8, 1, 131072]);
  t.deepEqual(sizes("waggle_lb_maglev"), [2, 16372, 65536]);
  t.deepEqual(sizes("waggle_no_services"), [4, 8, 16384]);
  t.deepEqual(sizes("cilium_lb4_reverse_sk"), [16, 8, 65536]);
  t.deepEqual(sizes("cilium_lb6_reverse_sk"), [32, 20, 65536]);
  t.deepEqual(sizes("cilium_ct4_global"), [14, 56, 512000]);
  t.deepEqual(sizes("cilium_ct6_global"), [38, 56, 512000]);
  t.deepEqual(sizes("cilium_snat_v4_external"), [14, 24, 131072]);
  t.deepEqual(sizes("cilium_snat_v6_external"), [38, 40, 131072]);
  t.deepEqual(sizes("cilium_ipv6_frag_datagrams"), [40, 4, 8192]);
  t.deepEqual(sizes("cilium_policy"), [12, 12, 16384]);
  t.deepEqual(sizes("cilium_metrics"), [8, 16, 1024]);
  t.deepEqual(sizes("waggle_hook_stats"), [4, 64, 32768]);
  t.deepEqual(sizes("waggle_endpoints"), [4, 64, 65536]);
  t.deepEqual(sizes("waggle_runtime"), [4, 16, 1]);
  t.deepEqual(sizes("cilium_ipv4_frag_datagrams"), [12, 4, 8192]);
});

test("an endpoint entry is printed in the columns of `cilium map get cilium_lxc`", (t) => {
  const key = { address: "10.0.1.51" };
  const entry = {
    ifindex: 8,
    lxcId: 51,
    flags: 0,
    mac: "ae:3a:52:a3:ec:b3",
    nodeMac: "0a:5a:de:b8:d8:f4",
    secId: 300,
    parentIfindex: 0,
  };
  t.is(lxcMap.formatKey(key), "10.0.1.51:0");
  t.is(
    lxcMap.formatValue(entry),
    "id=51 flags=0x0000 ifindex=8 mac=AE:3A:52:A3:EC:B3 nodemac=0A:5A:DE:B8:D8:F4",
  );
  const bytes = encode(lxcMap.value, entry);
  t.is(bytes.readUInt32LE(0), 8);
  t.is(bytes.readUInt16LE(6), 51);
  t.is(bytes.subarray(16, 24).toString("hex"), "ae3a52a3ecb30000");
  t.is(bytes.readUInt32LE(32), 300);
  t.deepEqual(lxcMap.value.decode(bytes, 0), entry);
  t.is(encode(lxcMap.key, key).toString("hex"), `0a000133${"00".repeat(12)}01000000`);
  t.deepEqual(lxcMap.key.decode(encode(lxcMap.key, key), 0), key);
});

test("an ipcache prefix counts its static bits and is printed as in the seed", (t) => {
  const key = { prefix: "10.0.2.158/32" };
  const bytes = encode(ipcacheMap.key, key);
  t.is(bytes.readUInt32LE(0), 64);
  t.is(bytes.subarray(4, 12).toString("hex"), "000000010a00029e");
  t.deepEqual(ipcacheMap.key.decode(bytes, 0), key);
  t.is(encode(ipcacheMap.key, { prefix: "0.0.0.0/0" }).readUInt32LE(0), 32);
  const value = { identity: 13789, tunnelEndpoint: "172.18.0.5", encryptKey: 0, flags: 0 };
  t.is(ipcacheMap.formatKey(key), "10.0.2.158/32");
  t.is(ipcacheMap.formatValue(value), "identity=13789 encryptkey=0 tunnelendpoint=172.18.0.5");
  t.deepEqual(ipcacheMap.value.decode(encode(ipcacheMap.value, value), 0), value);
});

test("local addresses and prefixes of IPv6 have the same keys, with another family", (t) => {
  const address = { address: "f00d::1" };
  const bytes = encode(lxcMap.key, address);
  t.is(bytes.toString("hex"), `f00d${"00".repeat(13)}0102000000`);
  t.deepEqual(lxcMap.key.decode(bytes, 0), address);
  t.is(lxcMap.formatKey(address), "f00d::1:0");

  const prefix = { prefix: "fd00:10:0:2::/64" };
  const key = encode(ipcacheMap.key, prefix);
  t.is(key.readUInt32LE(0), 96);
  t.is(key.subarray(4).toString("hex"), `00000002fd00001000000002${"00".repeat(8)}`);
  t.deepEqual(ipcacheMap.key.decode(key, 0), prefix);
  t.is(ipcacheMap.formatKey(prefix), "fd00:10:0:2::/64");
  t.is(encode(ipcacheMap.key, { prefix: "::/0" }).readUInt32LE(0), 32);
});

test("connections, translations and fragments of IPv6 print their addresses in brackets", (t) => {
  const tuple = {
    ...{ destination: "2001:db8::1", source: "fd00:10::5", destinationPort: 443, sourcePort: 41000 },
    ...{ protocol: 6, flags: 0 },
  };
  const key = encode(ct6Map.key, tuple);
  t.is(key.toString("hex"), `20010db8${"00".repeat(11)}01fd000010${"00".repeat(11)}0501bba0280600`);
  t.deepEqual(ct6Map.key.decode(key, 0), tuple);
  t.is(ct6Map.formatKey(tuple), "TCP [fd00:10::5]:41000 -> [2001:db8::1]:443");
  t.throws(() => encode(ct6Map.key, { ...tuple, source: "10.0.0.1" }), { message: /IPv6/ });

  const entry = { created: 100n, lastUsed: 160, flags: 0x10010, address: "fd00:18::11", port: 1024 };
  t.deepEqual(snat6Map.value.decode(encode(snat6Map.value, entry), 0), entry);
  t.is(snat6Map.formatValue(entry), "XLATE [fd00:18::11]:1024 Created=100 LastUsed=160");
  t.is(
    encode(snat4Map.value, { ...entry, address: "172.18.0.11" }).toString("hex"),
    "6400000000000000a000000010000100ac12000b04000000",
  );

  const fragment = { destination: "fd00::2", source: "fd00::1", id: 7, protocol: 17 };
  t.deepEqual(fragments6Map.key.decode(encode(fragments6Map.key, fragment), 0), fragment);
  t.is(fragments6Map.formatKey(fragment), "fd00::1 -> fd00::2, 7, UDP");
});

test("services, backends and reverse NAT are printed as in the seed", (t) => {
  const frontend = { address: "10.96.0.10", port: 53, slot: 0, protocol: 0, scope: 0 };
  const service = { backendId: 0, count: 2, revNatIndex: 2, flags: 0, flags2: 0, qcount: 0 };
  t.is(lb4ServicesMap.formatKey(frontend), "10.96.0.10:53");
  t.is(lb4ServicesMap.formatKey({ ...frontend, slot: 2, protocol: 17 }), "10.96.0.10:53/UDP (2)");
  t.is(lb4ServicesMap.formatValue(service), "0 2 (2) [0x0 0x0]");
  t.is(encode(lb4ServicesMap.key, { ...frontend, slot: 1 }).toString("hex"), "0a60000a0035010000000000");
  t.deepEqual(lb4ServicesMap.value.decode(encode(lb4ServicesMap.value, service), 0), service);

  const backend = { address: "10.0.2.230", port: 53, protocol: 0, flags: 0, clusterId: 0, zone: 0 };
  t.is(lb4BackendsMap.formatKey(4), "4");
  t.is(lb4BackendsMap.formatValue(backend), "ANY://10.0.2.230:53");
  t.is(encode(lb4BackendsMap.value, backend).toString("hex"), "0a0002e60035000000000000");
  t.is(encode(lb4ReverseNatMap.value, { address: "10.96.0.1", port: 443 }).toString("hex"), "0a60000101bb");
});

test("services of IPv6 have the same shape and print their addresses in brackets", (t) => {
  const frontend = { address: "fd00:96::a", port: 53, slot: 1, protocol: 17, scope: 0 };
  t.is(lb6ServicesMap.formatKey(frontend), "[fd00:96::a]:53/UDP (1)");
  const bytes = encode(lb6ServicesMap.key, frontend);
  t.is(bytes.toString("hex"), `fd000096${"00".repeat(11)}0a0035010011000000`);
  t.deepEqual(lb6ServicesMap.key.decode(bytes, 0), frontend);
  const backend = { address: "fd00:10::1", port: 8080, protocol: 6, flags: 1, clusterId: 0, zone: 0 };
  t.is(lb6BackendsMap.formatValue(backend), "TCP://[fd00:10::1]:8080");
  t.deepEqual(lb6BackendsMap.value.decode(encode(lb6BackendsMap.value, backend), 0), backend);
});

test("slot 0 holds affinity and algorithm in place of a backend", (t) => {
  const parameters = { affinityTimeoutS: 10800, algorithm: LbAlgorithm.maglev };
  t.is(packFrontend(parameters), 0x02002a30);
  t.deepEqual(unpackFrontend(0x02002a30), parameters);
  t.is(packFrontend({ affinityTimeoutS: 1e9, algorithm: 255 }), 0xffffffff);
  t.deepEqual(unpackFrontend(0xffffffff), { affinityTimeoutS: MAX_AFFINITY_TIMEOUT_S, algorithm: 255 });
});

test("an affinity key is of an address, or of a network namespace", (t) => {
  for (const [map, address] of [
    [lb4AffinityMap, "10.0.1.5"],
    [lb6AffinityMap, "fd00::5"],
  ] as const) {
    const remote = { address, netnsCookie: 0n, revNatIndex: 7 };
    const local = { address: undefined, netnsCookie: 4096n, revNatIndex: 7 };
    for (const key of [remote, local]) t.deepEqual(map.key.decode(encode(map.key, key), 0), key);
    t.is(map.formatKey(remote), `${address} 7`);
    t.is(map.formatKey(local), "netns 4096 7");
  }
});

test("a Maglev table is one value, printed as each backend's share", (t) => {
  const backends = new Uint32Array(MAGLEV_TABLE_SIZE).fill(3);
  backends[4092] = 9;
  const bytes = encode(lbMaglevMap.value, { backends });
  t.is(bytes.readUInt32LE(4 * 4092), 9);
  t.deepEqual(lbMaglevMap.value.decode(bytes, 0).backends, backends);
  t.is(lbMaglevMap.formatValue({ backends }), "3:4092 9:1");
  t.throws(() => encode(lbMaglevMap.value, { backends: new Uint32Array(1) }), { message: /1 elements/ });
});

test("a conntrack entry survives a round trip", (t) => {
  const tuple = {
    destination: "10.0.1.9",
    source: "10.0.1.5",
    destinationPort: 80,
    sourcePort: 41000,
    protocol: 6,
    flags: TupleFlag.service,
  };
  t.is(ct4Map.formatKey(tuple), "TCP SVC 10.0.1.5:41000 -> 10.0.1.9:80");
  t.is(encode(ct4Map.key, tuple).toString("hex"), "0a0001090a0001050050a0280604");
  const entry = ct4Map.value.decode(Buffer.alloc(ct4Map.value.size, 1), 0);
  t.is(entry.packets, 0x0101010101010101n);
  t.deepEqual(entry.nat, { address: "1.1.1.1", port: 0x0101 });
  t.deepEqual(entry.in, { since: 0x01010101, denied: false });
  t.deepEqual(ct4Map.value.decode(encode(ct4Map.value, entry), 0), entry);
  const seen = { ...entry, out: { since: 7, denied: true }, in: undefined };
  t.deepEqual(ct4Map.value.decode(encode(ct4Map.value, seen), 0), seen);
  t.regex(ct4Map.formatValue(seen), / Out=7,denied Flags=/);
  t.regex(ct4Map.formatValue(entry), / NatAddr=1\.1\.1\.1:257$/);
  const served = { ...entry, nat: undefined, backendId: 7n };
  t.deepEqual(ct6Map.value.decode(encode(ct6Map.value, served), 0), served);
  t.regex(ct6Map.formatValue(served), / BackendID=7$/);
});

test("a policy key's prefix ends where its wildcards begin", (t) => {
  const prefix = (protocol: number, port: number, portBits?: number): number =>
    encode(policyMap.key, {
      identity: 300,
      direction: "ingress",
      protocol,
      port,
      ...(portBits === undefined ? {} : { portBits }),
    }).readUInt32LE(0);
  t.is(prefix(0, 0), 40);
  t.is(prefix(6, 0), 48);
  t.is(prefix(6, 80), 64);
  t.is(prefix(6, 8080, 12), 60);
  t.throws(() => prefix(0, 80), { message: /port 80 needs a protocol/ });

  const key = { identity: 1, direction: "egress" as const, protocol: 6, port: 8080, portBits: 12 };
  t.deepEqual(policyMap.key.decode(encode(policyMap.key, key), 0), key);
  t.is(policyMap.formatKey(key), "Egress: 1 8080&12/TCP");
  const exact = { identity: 1, direction: "egress" as const, protocol: 6, port: 80 };
  t.deepEqual(policyMap.key.decode(encode(policyMap.key, exact), 0), exact);
  const entry = policyEntry(exact, true);
  t.is(encode(policyMap.value, entry).toString("hex"), "0000c1000000000000000000");
  t.deepEqual(policyMap.value.decode(encode(policyMap.value, entry), 0), entry);
  t.is(policyMapOf(12).name, "cilium_policy_00012");
  t.is(mapSpecByName("cilium_policy_00012")?.valueSize, 12);
});

test("a value that does not fit its member is refused, not cut", (t) => {
  t.throws(() => encode(metricsMap.key, { reason: 256, direction: 1, line: 0, file: 0 }), {
    message: /256 is not from 0 to 255/,
  });
  t.throws(() => encode(lxcMap.key, { address: "10.0.0.256" }), { message: /IPv4/ });
});

test("hook counters are named verdicts", (t) => {
  const stats = { next: 1n, pass: 2n, drop: 3n, redirect: 4n, other: 5n, missed: 6n };
  t.deepEqual(hookStatsMap.value.decode(encode(hookStatsMap.value, stats), 0), stats);
});

test("global maps take limits by name and refuse names that are not theirs", (t) => {
  const specs = globalMapSpecs({ cpus: 4, maxEntries: { cilium_ct4_global: 1000 } });
  t.is(specs.find((spec) => spec.name === eventsMap.name)?.maxEntries, 4);
  t.is(specs.find((spec) => spec.name === ct4Map.name)?.maxEntries, 1000);
  t.throws(() => globalMapSpecs({ cpus: 4, maxEntries: { cilium_ct: 1 } }), { message: /no such map/ });
  t.throws(() => globalMapSpecs({ cpus: 4, maxEntries: { cilium_lxc: 0 } }), { message: /0 entries/ });
});

function objectWith(...structs: StructLayout[]): ObjectDescription {
  return {
    programs: [],
    maps: [],
    dataSections: [],
    constants: [],
    struct: (name) => structs.find((s) => s.name === name),
  };
}

const LB4_SERVICE: StructLayout = {
  name: "lb4_service",
  size: 12,
  members: [
    { name: "", offset: 0, size: 4 },
    { name: "count", offset: 4, size: 2 },
    { name: "rev_nat_index", offset: 6, size: 2 },
    { name: "flags", offset: 8, size: 1 },
    { name: "flags2", offset: 9, size: 1 },
    { name: "qcount", offset: 10, size: 2 },
  ],
};

test("a layout equal to the object's passes, with unions and bit fields", (t) => {
  const policy: StructLayout = {
    name: "policy_entry",
    size: 12,
    members: [
      { name: "proxy_port", offset: 0, size: 2 },
      { name: "deny", offset: 2, size: 1 },
      { name: "lpm_prefix_length", offset: 2, size: 1 },
      { name: "auth_type", offset: 3, size: 1 },
      { name: "proxy_port_priority", offset: 4, size: 1 },
      { name: "pad", offset: 5, size: 3 },
      { name: "cookie", offset: 8, size: 4 },
    ],
  };
  t.notThrows(() => checkLayouts(objectWith(LB4_SERVICE, policy), mapSpecs.values()));
});

test("a swapped member of the object is an error that shows both sides", (t) => {
  const swapped: StructLayout = {
    ...LB4_SERVICE,
    members: LB4_SERVICE.members.map((m) =>
      m.name === "count"
        ? { ...m, name: "rev_nat_index" }
        : m.name === "rev_nat_index"
          ? { ...m, name: "count" }
          : m,
    ),
  };
  const error = t.throws(() => checkLayouts(objectWith(swapped), mapSpecs.values()), {
    instanceOf: LayoutDriftError,
  });
  t.regex(error.message, /struct lb4_service of cilium_lb4_services_v2/);
  t.regex(
    error.message,
    /in the agent, 12 bytes:[\s\S]*4\+2 count[\s\S]*in the object, 12 bytes:[\s\S]*4\+2 rev_nat_index/,
  );
});

test("another size of a struct or a declared map is an error", (t) => {
  t.throws(() => checkLayouts(objectWith({ ...LB4_SERVICE, size: 16 }), mapSpecs.values()), {
    message: /12 bytes here, 16 in the object/,
  });
  const description: ObjectDescription = {
    ...objectWith(),
    maps: [{ name: "cilium_lxc", type: 1, keySize: 20, valueSize: 40, maxEntries: 1 }],
  };
  t.throws(() => checkLayouts(description, mapSpecs.values()), {
    message: /valueSize is 48 in the agent, 40/,
  });
});

test("an ipcache entry is written the same way whichever way it takes", (t) => {
  const { key, value } = ipcacheMap;
  const prefixes = ["10.0.1.5/32", "10.0.0.0/8", "0.0.0.0/0", "255.255.255.255", "fd00::1/128", "::/0"];
  for (const prefix of prefixes) {
    // What was there before must not show through.
    const into = Buffer.alloc(key.size, 0xff);
    key.encode({ prefix }, into, 0);
    const [address = "", length] = key.decode(into, 0).prefix.split("/");
    t.is(`${address}/${length}`, prefix.includes("/") ? prefix : `${prefix}/32`);
    t.is(into.subarray(4, 7).toString("hex"), "000000");
    if (!prefix.includes(":")) t.is(into.subarray(12).toString("hex"), "00".repeat(12));
  }
  const info = { identity: 0xff_ffff, tunnelEndpoint: "192.0.2.254", encryptKey: 255, flags: 3 };
  const into = Buffer.alloc(value.size, 0xff);
  value.encode(info, into, 0);
  t.deepEqual(value.decode(into, 0), info);
  t.is(into.subarray(8, 22).toString("hex"), "00".repeat(14));
  for (const wrong of ["10.0.0.0/33", "10.0.0.256/32", "10.0.0/8", "010.0.0.1/32", "10.0.0.0/"])
    t.throws(() => key.encode({ prefix: wrong }, into, 0), { instanceOf: DatapathError }, wrong);
});
