import { notFound } from "../../cells/errors.ts";
import type { Node, NodeList } from "../../cells/nodes/types.ts";
import { type Node as NodeMessage, NodeServiceService } from "../../gen/waggle/v1/node.ts";
import { registration, type ServiceRegistration } from "../registration.ts";
import { type ApiRuntime, readPage, takePage, watchTable } from "../runtime/index.ts";
import { checkText } from "../validate/fields.ts";
import { validated } from "../validate/violations.ts";

/** Longest name of a node, in bytes, as of other objects. */
const maxNameBytes = 253;

/** What {@link nodeService} delegates to. */
export interface NodeServiceDeps {
  readonly nodes: NodeList;
}

/** waggle.v1.NodeService. */
export function nodeService({ nodes }: NodeServiceDeps, runtime: ApiRuntime): ServiceRegistration {
  return registration(NodeServiceService, runtime, {
    getNode({ name }) {
      validated((violations) => checkText("name", name, maxNameBytes, violations));
      const node = name === "" ? nodes.local : nodes.table.get(name);
      if (node === undefined) throw notFound("node", name);
      return { node: toMessage(node) };
    },

    listNodes(request) {
      const page = validated((violations) => readPage(request, "nodes", violations));
      const { items, nextPageToken } = takePage(nodes.table.list(), ({ name }) => name, page);
      return { nodes: items.map(toMessage), nextPageToken };
    },

    watchNodes(_request, context, out) {
      return watchTable(nodes.table, toMessage, context, out, runtime);
    },
  });
}

function toMessage({ ipv4, ipv6, podCidrV6, routerIpv6, ...node }: Node): NodeMessage {
  return {
    ...node,
    ipv4: ipv4 ?? "",
    ipv6: ipv6 ?? "",
    podCidrV6: podCidrV6 ?? "",
    routerIpv6: routerIpv6 ?? "",
  };
}
