import { randomInt } from "node:crypto";
import { constants } from "node:os";
import { Ifla, LinkMessage, linkHeader } from "./link-message.ts";
import { deleteLink, isErrno } from "./links.ts";
import { u32Attribute } from "./message.ts";
import type { Place } from "./place.ts";
import { RtnlSocket } from "./socket.ts";

interface Waiting {
  readonly ifindex: number;
  readonly resolve: (existed: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** Holds the network's lock for so many devices at most. */
const mostAtOnce = 64;

/**
 * Deletes links, and many of them like one: for each deletion the kernel waits for several grace periods, tens of
 * milliseconds, but for all devices of a group it waits only once (`rtnl_group_dellink`, net/core/rtnetlink.c). Those
 * that are asked for while one is under way are put into a group of their own and go together. On a socket of their
 * own as well: other requests need not wait for them.
 */
export class LinkDeletions {
  readonly #place: Place;
  #socket: RtnlSocket | undefined;
  readonly #waiting: Waiting[] = [];
  #busy = false;

  constructor(place: Place) {
    this.#place = place;
  }

  /** False when there was none. @throws DatapathError */
  delete(ifindex: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ifindex, resolve, reject });
      if (!this.#busy) void this.#work();
    });
  }

  close(): void {
    this.#socket?.close();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (;;) {
      const links = this.#waiting.splice(0, mostAtOnce);
      if (links.length === 0) break;
      await this.#deleteAll(links);
    }
    this.#busy = false;
  }

  async #deleteAll(links: readonly Waiting[]): Promise<void> {
    try {
      this.#socket ??= this.#place.enter<RtnlSocket>(() => new RtnlSocket());
      if (links.length > 1) await this.#deleteGroup(this.#socket, links);
      else await settle(links[0]!, this.#socket);
    } catch (error) {
      for (const { reject } of links) reject(error);
    }
  }

  async #deleteGroup(socket: RtnlSocket, links: readonly Waiting[]): Promise<void> {
    // Nobody else's: a group is any number, and devices are in group 0 unless somebody says otherwise.
    const group = u32Attribute(Ifla.group, randomInt(1 << 16, 2 ** 31));
    const joined = await Promise.all(links.map((link) => join(socket, link, group)));
    const members = joined.filter((link) => link !== undefined);
    if (members.length === 0) return;
    try {
      await socket.request({
        type: LinkMessage.deleteLink,
        payload: Buffer.concat([linkHeader(0), group]),
        operation: "delete",
        object: `${members.length} links`,
      });
    } catch {
      // One that cannot be deleted keeps all the others: whose error it is, each says by itself.
      await Promise.all(members.map((link) => settle(link, socket)));
      return;
    }
    for (const { resolve } of members) resolve(true);
  }
}

/** Puts a link into the group; undefined, and settled, when that is not to be. */
async function join(socket: RtnlSocket, link: Waiting, group: Buffer): Promise<Waiting | undefined> {
  const { ifindex, resolve, reject } = link;
  try {
    await socket.request({
      type: LinkMessage.setLink,
      payload: Buffer.concat([linkHeader(ifindex), group]),
      operation: "delete link",
      object: `ifindex ${ifindex}`,
    });
    return link;
  } catch (error) {
    if (isErrno(error, constants.errno.ENODEV)) resolve(false);
    else reject(error);
    return undefined;
  }
}

async function settle({ ifindex, resolve, reject }: Waiting, socket: RtnlSocket): Promise<void> {
  await deleteLink(socket, ifindex).then(resolve, reject);
}
