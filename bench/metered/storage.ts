/** An object's state that is the real one, but for its alarm, and counts the rows that Cloudflare bills its storage for. */

/** When an object's alarm is to go off, in milliseconds; it does not, unless the benchmark has it go off. */
export interface Alarm {
  at: number | null;
}

/**
 * What the price list calls rows written: each alarm that is set, what is put, and deletes, of which that of all is one here.
 * What is read is next to nothing.
 */
export function meteredState(state: DurableObjectState, alarm: Alarm, count: () => void): DurableObjectState {
  const own = {
    async getAlarm() {
      return alarm.at;
    },
    async setAlarm(at: number) {
      count();
      alarm.at = at;
    },
    deleteAll() {
      count();
      alarm.at = null;
      return state.storage.deleteAll();
    },
    get: (key: string) => state.storage.get(key),
    put(key: string, value: unknown) {
      count();
      return state.storage.put(key, value);
    },
  };
  const storage = new Proxy(own, {
    get(target, property) {
      if (property in target) return Reflect.get(target, property, target);
      throw new Error(`The benchmark does not meter ${String(property)} of an object's storage`);
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
