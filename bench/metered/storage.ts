/** An object's state that is the real one, and counts the rows that Cloudflare bills its storage for. */

/** The billed calls. The price list says it of the first two, and that deletes are rows written: one, of all, here. */
const BILLED: readonly (string | symbol)[] = ["setAlarm", "put", "deleteAll"];
/** Calls that read a row at most, which is next to nothing. */
const UNCOUNTED: readonly (string | symbol)[] = ["getAlarm", "get"];

export function meteredState(state: DurableObjectState, count: () => void): DurableObjectState {
  const storage = new Proxy(state.storage, {
    get(target, property) {
      const isBilled = BILLED.includes(property);
      if (!isBilled && !UNCOUNTED.includes(property)) {
        throw new Error(`The benchmark does not meter ${String(property)} of an object's storage`);
      }
      const call: unknown = Reflect.get(target, property, target);
      if (typeof call !== "function") throw new Error(`An object's storage has no ${String(property)}`);
      return (...values: unknown[]) => {
        if (isBilled) count();
        return Reflect.apply(call, target, values);
      };
    },
  });
  return new Proxy(state, {
    get(target, property) {
      if (property === "storage") return storage;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
