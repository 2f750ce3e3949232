/** A D1 that is the real one, and writes down each round trip. */
import type { Statement, Trip } from "./report.ts";

type Log = (trip: Trip) => void;

export function metered(db: D1Database, log: Log): D1Database {
  const known = new WeakMap<object, { real: D1PreparedStatement; statement: Statement }>();
  const roundTrip = async <T extends D1Result | D1Result[]>(statements: Statement[], run: Promise<T>): Promise<T> => {
    let results: D1Result[] = [];
    try {
      const answer = await run;
      results = [answer].flat();
      return answer;
    } finally {
      const sum = (field: "rows_read" | "rows_written") => results.reduce((rows, { meta }) => rows + meta[field], 0);
      log({ statements, rowsRead: sum("rows_read"), rowsWritten: sum("rows_written") });
    }
  };
  const prepared = (real: D1PreparedStatement, statement: Statement): D1PreparedStatement => {
    const proxy = new Proxy(real, {
      get(_, property) {
        if (property === "bind") {
          return (...values: unknown[]) => prepared(real.bind(...values), { ...statement, values });
        }
        if (property === "all") return () => roundTrip([statement], real.all());
        throw new Error(`The benchmark does not meter ${String(property)} of a statement`);
      },
    });
    known.set(proxy, { real, statement });
    return proxy;
  };
  return new Proxy(db, {
    get(_, property) {
      if (property === "prepare") return (sql: string) => prepared(db.prepare(sql), { sql, values: [] });
      if (property === "batch") {
        return (batch: D1PreparedStatement[]) => {
          const asked = batch.flatMap((statement) => known.get(statement) ?? []);
          return roundTrip(
            asked.map(({ statement }) => statement),
            db.batch(asked.map(({ real }) => real)),
          );
        };
      }
      throw new Error(`The benchmark does not meter ${String(property)} of D1`);
    },
  });
}
