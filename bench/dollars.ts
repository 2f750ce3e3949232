/** What Cloudflare bills, in dollars. */

/** Dollars per million, beyond what the Workers Paid plan of $5 a month includes. */
export const PRICES = {
  request: 0.3,
  cpu: 0.02,
  objectCall: 0.15,
  objectDuration: 12.5,
  rowRead: 0.001,
  rowWritten: 1,
};
/** What an object is billed for while it is at work, in GB. */
const OBJECT_MEMORY = 0.128;

export const SOURCES = `Prices beyond the Workers Paid plan's included usage, from developers.cloudflare.com, the pages
/workers/platform/pricing/ (requests $0.30 per million, CPU $0.02 per million ms), /durable-objects/platform/pricing/
(requests, of which every RPC call and every alarm is one, $0.15 per million; duration $12.50 per million GB-s at 128 MB; rows
written $1.00 per million, of which each alarm that is set is one, and deletes are, so that a \`deleteAll\` is counted as one) and
/d1/platform/pricing/ (rows read $0.001 per million, rows written $1.00 per million). Storage, log lines, the sweep, which is one for
all payments, and what the plan includes are left out.`;

/** What something costs, in what is billed. */
export interface Cost {
  /** Requests of the Worker. */
  readonly requests: number;
  /** D1 round trips. */
  readonly trips: number;
  readonly objectCalls: number;
  /** Rows written in the object's own storage. */
  readonly objectRows: number;
  readonly rowsRead: number;
  readonly rowsWritten: number;
  readonly providerCalls: number;
  /** In milliseconds. */
  readonly objectTime: number;
}

/** A line of a bill, and its dollars per million. */
export type Line = readonly [what: string, dollars: number];

/** Dollars for a million milliseconds of an object's time. */
export const OBJECT_MILLISECOND = (PRICES.objectDuration * OBJECT_MEMORY) / 1000;

/**
 * Dollars for a million times all of this, line by line and in all.
 *
 * @param cpu all the processor time of them, in milliseconds
 */
export function bill(costs: readonly Cost[], cpu: number): Line[] {
  const sum = (of: (cost: Cost) => number) => costs.reduce((total, cost) => total + of(cost), 0);
  const lines: Line[] = [
    ["Worker requests", PRICES.request * sum(({ requests }) => requests)],
    ["Worker CPU, at most", PRICES.cpu * cpu],
    ["object requests", PRICES.objectCall * sum(({ objectCalls }) => objectCalls)],
    ["object duration", OBJECT_MILLISECOND * sum(({ objectTime }) => objectTime)],
    ["object rows written", PRICES.rowWritten * sum(({ objectRows }) => objectRows)],
    ["D1 rows read", PRICES.rowRead * sum(({ rowsRead }) => rowsRead)],
    ["D1 rows written", PRICES.rowWritten * sum(({ rowsWritten }) => rowsWritten)],
  ];
  return [...lines, ["**in all**", lines.reduce((total, [, dollars]) => total + dollars, 0)]];
}
