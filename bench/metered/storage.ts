/** An object's state that is the real one, and counts the rows that Cloudflare bills its storage for. */

/** The billed calls. The price list says it of the first, and of the second that deletes are rows written: one, here. */
const BILLED: readonly (string | symbol)[] = ["setAlarm", "deleteAll"];
const FREE: readonly (string | symbol)[] = ["getAlarm"];

export function meteredState(state: DurableObjectState, count: () => void): DurableObjectState {
  const storage = new Proxy(state.storage, {
    get(target, property) {
      const isBilled = BILLED.includes(property);
      if (!isBilled && !FREE.includes(property)) {
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
