import type { Codec, MapSpec, TypedMapSpec } from "../types.ts";
import type { FieldType, StructCodec } from "./layout.ts";

/** A typed map together with what C calls its key and value. */
export interface MapDefinition<K, V> extends TypedMapSpec<K, V> {
  /** C struct of the key; undefined when the key is a plain integer. */
  readonly keyStruct: StructCodec<K> | undefined;
  /** C struct of the value; undefined when the value is a plain integer. */
  readonly valueStruct: StructCodec<V> | undefined;
}

/** Any map's definition, whatever its key and value are. */
export type AnyMapDefinition = MapSpec & {
  readonly keyStruct: StructCodec<never> | undefined;
  readonly valueStruct: StructCodec<never> | undefined;
};

interface MapInit<K, V> extends Omit<MapSpec, "keySize" | "valueSize"> {
  readonly key: StructCodec<K> | FieldType<K>;
  readonly value: StructCodec<V> | FieldType<V>;
  readonly formatKey: (key: K) => string;
  readonly formatValue: (value: V) => string;
}

/** Defines a map; key and value sizes are those of the codecs. */
export function defineMap<K, V>(init: MapInit<K, V>): MapDefinition<K, V> {
  return {
    ...init,
    keySize: init.key.size,
    valueSize: init.value.size,
    keyStruct: asStruct(init.key),
    valueStruct: asStruct(init.value),
  };
}

function asStruct<T>(codec: Codec<T> | StructCodec<T>): StructCodec<T> | undefined {
  return "structName" in codec ? codec : undefined;
}
