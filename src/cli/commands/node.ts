import type { Command } from "commander";
import { everything } from "../../client/index.ts";
import type { Node } from "../../gen/waggle/v1/node.ts";
import { examples } from "../help.ts";
import type { Style } from "../output/io.ts";
import { facts, table } from "../output/table.ts";
import type { Act } from "../session.ts";

const both = (ipv4: string, ipv6: string): string => [ipv4, ipv6].filter(Boolean).join(" ");

const row =
  (style: Style) =>
  ({ name, local, version, ...node }: Node): readonly string[] => [
    local ? style.bold(name) : name,
    both(node.ipv4, node.ipv6),
    both(node.podCidr, node.podCidrV6),
    both(node.routerIpv4, node.routerIpv6),
    version,
    local ? "this one" : "",
  ];

const nodesTable = (nodes: readonly Node[], style: Style): string =>
  table(["Name", "Addresses", "Pods' networks", "Gateways", "Version", ""], nodes.map(row(style)));

const detail = (node: Node): string =>
  facts([
    ["Node", `${node.name}${node.local ? "  (this one)" : ""}`],
    ["Addresses", both(node.ipv4, node.ipv6)],
    ["Pods' networks", both(node.podCidr, node.podCidrV6)],
    ["Gateways", both(node.routerIpv4, node.routerIpv6)],
    ["Version", node.version],
  ]);

/** `waggle node …` */
export function addNodeCommands(program: Command, act: Act): void {
  const node = program.command("node").description("Nodes of the cluster, as this agent knows them");

  examples(
    node
      .command("list")
      .alias("ls")
      .description("List nodes")
      .action(
        act(async (session) => {
          const nodes = await everything(
            (page) => session.client.nodes.listNodes(page),
            (page) => page.nodes,
          );
          session.show({ nodes }, () => nodesTable(nodes, session.style));
        }),
      ),
    ["Their addresses, for a script", "waggle node list --json | jq -r '.nodes[].ipv4'"],
  );

  node
    .command("get")
    .argument("[name]", "which node; this one otherwise", "")
    .description("Show one node")
    .action(
      act(async (session, name: string) => {
        const { node: found } = await session.client.nodes.getNode({ name });
        session.show(found, () => (found === undefined ? "" : detail(found)));
      }),
    );
}
