/** Hands out pod addresses of the node's pod CIDR. */
export interface Ipam {
  /** The next free address, or the wanted one. Owner is for messages. @throws RefusalError */
  allocate(owner: string, wanted?: string): string;
  /** Harmless for an address that is not allocated. */
  release(address: string): void;
  readonly capacity: number;
  readonly used: number;
  owner(address: string): string | undefined;
}
