// The gRPC API as a library: services over cells' interfaces, and what it takes to write further ones.

export { apiDescriptors, registration, type ServiceRegistration } from "./registration.ts";
export * from "./runtime/index.ts";
export { type AgentServiceDeps, agentService } from "./services/agent.ts";
export { type DatapathServiceDeps, datapathService } from "./services/datapath.ts";
export { type EndpointServiceDeps, endpointService } from "./services/endpoint.ts";
export { type IdentityServiceDeps, identityService } from "./services/identity.ts";
export { type IpCacheServiceDeps, ipCacheService } from "./services/ipcache.ts";
export { type LoadBalancerServiceDeps, loadBalancerService } from "./services/load-balancer.ts";
export { type NodeServiceDeps, nodeService } from "./services/node.ts";
export { type PluginServiceDeps, pluginService } from "./services/plugin.ts";
export { Violations, validated } from "./validate/violations.ts";
