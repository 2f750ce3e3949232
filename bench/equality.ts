/** Before the floor is a measure of anything: it asks D1 and the object for exactly what the service does. */
import { meter, type Report } from "./meter.ts";
import { OPERATIONS } from "./operations.ts";
import type { Workshop } from "./workshop.ts";

const SEEDED = { pending: 300, confirmed: 10 };
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Throws when a statement, a parameter, a batch or an object call of the two differs. */
export async function assertSameWork(workshop: Workshop): Promise<void> {
  const [forService, forFloor] = [await workshop.state("tmpfs", SEEDED), await workshop.state("tmpfs", SEEDED)];
  const servers = [await workshop.serve("metered", forService), await workshop.serve("metered", forFloor)] as const;
  for (const operation of OPERATIONS) {
    const service = work(await meter(servers[0].port, "service", operation, SEEDED, 0));
    const floor = work(await meter(servers[1].port, "floor", operation, SEEDED, 0));
    for (let n = 0; n < Math.max(service.length, floor.length); n++) {
      if (service[n] === floor[n]) continue;
      throw new Error(`The floor no longer does what the service does on ${operation}; mend bench/floor/index.ts.
service: ${service[n]}
floor:   ${floor[n]}`);
    }
  }
  for (const server of servers) await server.stop();
}

/**
 * What was asked, a line for each statement, without what differs between any two requests: ids that are
 * drawn, and the time.
 */
function work({ trips, objectCalls }: Report): string[] {
  const plain = (value: unknown) => {
    if (typeof value === "string" && UUID.test(value)) return "a UUID";
    return typeof value === "number" && value > 1e12 ? "a time" : value;
  };
  const statements = trips.flatMap(({ statements }, trip) =>
    statements.map(({ sql, values }) => {
      return `round trip ${trip + 1}: ${sql.replace(/\s+/g, " ").trim()} with ${JSON.stringify(values.map(plain))}`;
    }),
  );
  return [`object calls: ${objectCalls}`, ...statements];
}
