/** BPF Type Format: kinds and records (Documentation/bpf/btf.rst). */

export const BtfKind = {
  void: 0,
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  funcProto: 13,
  variable: 14,
  dataSection: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const;

/** One type record. Type ids count from 1 in file order; 0 is void. */
export interface BtfType {
  readonly name: string;
  readonly kind: number;
  /** Number of members, variables, parameters or values that follow. */
  readonly vlen: number;
  /** For structs: members carry a bitfield size. */
  readonly kindFlag: boolean;
  /** Size in bytes or id of the type referred to, by kind. */
  readonly sizeOrType: number;
  /** Where the kind's own data begins. */
  readonly dataOffset: number;
}

/** A variable in a data section. */
export interface BtfVariable {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

/** A data section and its variables. */
export interface BtfSection {
  readonly name: string;
  readonly variables: readonly BtfVariable[];
}
