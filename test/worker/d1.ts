/** Runs one round trip to D1; what it returns or throws is what the caller sees. */
export type Around = <T>(roundTrip: () => Promise<T>) => Promise<T>;

/** The database with `around` put around every round trip. The statements are the real ones. */
export function instrumentD1(db: D1Database, around: Around): D1Database {
  const real = new WeakMap<D1PreparedStatement, D1PreparedStatement>();
  const wrap = (statement: D1PreparedStatement): D1PreparedStatement => {
    const proxy = new Proxy(statement, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property, target);
        if (typeof value !== "function") return value;
        if (property === "bind") return (...values: unknown[]) => wrap(target.bind(...values));
        return (...values: unknown[]) => around(() => Reflect.apply(value, target, values));
      },
    });
    real.set(proxy, statement);
    return proxy;
  };
  return new Proxy(db, {
    get(target, property) {
      if (property === "prepare") return (sql: string) => wrap(target.prepare(sql));
      if (property === "batch") {
        return (statements: D1PreparedStatement[]) =>
          around(() => target.batch(statements.map((statement) => real.get(statement) ?? statement)));
      }
      throw new Error(`The service does not use ${String(property)} of D1`);
    },
  });
}

/** What a database was asked to do, counted from the runtime's own figures. */
export interface Meter {
  db: D1Database;
  trips: number;
  rowsRead: number;
  rowsWritten: number;
}

/** The database with its round trips and rows counted. */
export function meterD1(db: D1Database): Meter {
  const meter: Meter = { db, trips: 0, rowsRead: 0, rowsWritten: 0 };
  meter.db = instrumentD1(db, async (roundTrip) => {
    meter.trips++;
    const answer = await roundTrip();
    for (const { meta } of [answer].flat() as D1Result[]) {
      meter.rowsRead += meta.rows_read;
      meter.rowsWritten += meta.rows_written;
    }
    return answer;
  });
  return meter;
}

/** The database, which does what the nth round trip asks and loses its answer. */
export function losesNth(db: D1Database, n: number): D1Database {
  let trips = 0;
  return instrumentD1(db, async (roundTrip) => {
    const answer = await roundTrip();
    if (++trips === n) throw new Error("D1_ERROR: Network connection lost.");
    return answer;
  });
}
