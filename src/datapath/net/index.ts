/** Network interfaces, addresses, routes and neighbours over rtnetlink, in this and other namespaces. */
export { createNetOps, openNamespace } from "./namespace.ts";
