/** Cost: what Cloudflare would bill, from what the runtime counts. */
import { measureAtProvider, STEPS, type Step } from "./at-provider.ts";
import { bill, type Cost, type Line, OBJECT_MILLISECOND, SOURCES } from "./dollars.ts";
import { cpuAtProvider, type Journey } from "./journeys.ts";
import { meter, meterFirstUse, type Report, rows } from "./meter.ts";
import { OPERATIONS, type Operation, supply } from "./operations.ts";
import { type Part, RATE_LIMITS } from "./part.ts";
import { processorTime } from "./processes.ts";
import { table } from "./results.ts";
import type { Workshop } from "./workshop.ts";

const SEEDED = { pending: 12_000, confirmed: 12_000 };

/** The looks at what a payer has not done yet, of one who takes a minute: after 1, 5 and 30 seconds more each. */
const LOOKS_IN_A_MINUTE = 3;
/** How long a real provider may take to answer, in milliseconds, for what it would add. */
const PROVIDER_MS = 500;

/** Of a payment that settles at once, per operation; of one at a provider, per step. */
type Costed = Cost & { readonly cpu: number };

export const cost: Part = {
  title: "Cost",
  async run(workshop, quick) {
    const { costs, lookUp } = await measure(workshop, quick);
    const provider = await measureProvider(workshop, quick);
    const { confirmed, refunded, paidByPayer } = provider.notified;
    return `Per operation, with an idempotency key wherever one can be sent, and an API key that the isolate remembers. An API
key that it does not, or no longer, is looked up first: ${lookUp.trips} more D1 round trip, ${lookUp.read} more rows read. ${RATE_LIMITS}
Rows as the runtime's own \`meta\` counts them; of a replay's first statements, which fail and are rolled back, it tells
none. CPU is all the processor time of workerd, D1 and the HTTP server included, so it is more than what would be
billed. An object's time is from call to answer, with D1 in the same process; every millisecond that D1 is further away
adds $${OBJECT_MILLISECOND.toFixed(4)} per million actions.

${table(operationRows(costs))}

Of payments at a provider, here the sandbox. What the sandbox costs itself, its object's requests, rows and time, is left out:
a real provider is somebody else's. Object calls are those of the payment's object, its alarms included; object rows are what its
own storage is billed for. A step that did not cost the same each of ${provider.times} times would have ended the run. An object's time is with the
provider in the same process: one that takes ${PROVIDER_MS} ms to answer adds $${(PROVIDER_MS * OBJECT_MILLISECOND).toFixed(2)} per million calls of it.

${table(stepRows(provider.of))}

Dollars per million payments. A provider's notifications are in them (${confirmed}, ${refunded} and ${paidByPayer} of a payment), each with the look at the
provider that it leads to; so are the ${LOOKS_IN_A_MINUTE} looks by the object's alarm at a payer who takes a minute. CPU has the sandbox's in it,
which runs in the same process.

${table(
  billRows([
    ["internal: create, confirm", billOf(costs.create, costs.confirm)],
    ["internal: create, confirm, refund", billOf(costs.create, costs.confirm, costs.refund)],
    ["provider: create, confirm", provider.bill("confirmed")],
    ["provider: create, authorise, capture, refund a part", provider.bill("refunded")],
    ["provider: create, confirm by a payer who takes a minute", provider.bill("paidByPayer")],
  ]),
)}

${SOURCES}`;
  },
};

const COUNTED = ["requests", "object calls", "D1 round trips", "rows read", "rows written"];
const countsOf = ({ requests, objectCalls, trips, rowsRead, rowsWritten }: Cost) => {
  return [requests, objectCalls, trips, rowsRead, rowsWritten];
};

const operationRows = (costs: Measured["costs"]) => [
  ["operation", ...COUNTED, "CPU, ms, at most", "object's time, ms"],
  ...OPERATIONS.map((operation) => {
    const { cpu, objectTime } = costs[operation];
    return [operation, ...countsOf(costs[operation]), cpu.toFixed(2), objectTime.toFixed(1)];
  }),
];

const stepRows = (of: (step: Step) => Cost) => [
  ["step", ...COUNTED, "object rows", "calls of the provider", "object's time, ms"],
  ...STEPS.map((step) => {
    const { objectRows, providerCalls, objectTime } = of(step);
    return [step, ...countsOf(of(step)), objectRows, providerCalls, objectTime.toFixed(1)];
  }),
];

/** A column for each bill, a row for each of its lines. */
const billRows = (bills: readonly (readonly [what: string, lines: readonly Line[]])[]) => [
  ["", ...bills.map(([what]) => what)],
  ...(bills[0]?.[1] ?? []).map(([what], n) => [what, ...bills.map(([, lines]) => lines[n]?.[1].toFixed(2) ?? "")]),
];

interface Measured {
  readonly costs: Readonly<Record<(typeof OPERATIONS)[number], Costed>>;
  /** What the look-up of a key adds to a request. */
  readonly lookUp: { readonly trips: number; readonly read: number };
}

async function measure(workshop: Workshop, quick: boolean): Promise<Measured> {
  const metered = await workshop.serve("metered", await workshop.state("tmpfs", SEEDED));
  const service = await workshop.serve("service", await workshop.state("tmpfs", SEEDED));
  const { first, next } = await meterFirstUse(metered.port, SEEDED);
  const more = (figure: (report: Report) => number) => figure(first) - figure(next);
  const lookUp = { trips: more(({ trips }) => trips.length), read: more((report) => rows(report, "rowsRead")) };
  const times = quick ? 20 : 200;
  const measureOne = async (operation: Operation): Promise<Costed> => {
    const first = await meter(metered.port, "service", operation, SEEDED, 0);
    let objectTime = 0;
    for (let n = 1; n <= times; n++) {
      objectTime += (await meter(metered.port, "service", operation, SEEDED, n)).objectTime / times;
    }
    return {
      requests: 1,
      trips: first.trips.length,
      objectCalls: first.objectCalls,
      objectRows: first.objectRows,
      rowsRead: rows(first, "rowsRead"),
      rowsWritten: rows(first, "rowsWritten"),
      providerCalls: first.providerCalls,
      objectTime,
      cpu: await cpuOf(operation),
    };
  };
  const cpuOf = async (operation: Operation) => {
    const job = { port: service.port, seeded: SEEDED, operations: [operation], connections: 16 };
    const warm = await workshop.load({ ...job, from: 0, requests: 1000, milliseconds: 2000 });
    const before = processorTime(service.pid());
    const requests = Math.min(supply(operation, SEEDED) - warm.requests, quick ? 1000 : 4000);
    const measured = await workshop.load({ ...job, from: warm.requests, requests, milliseconds: 20_000 });
    return (processorTime(service.pid()) - before) / measured.requests;
  };
  const costs = {
    create: await measureOne("create"),
    replay: await measureOne("replay"),
    get: await measureOne("get"),
    confirm: await measureOne("confirm"),
    refund: await measureOne("refund"),
    "refused action": await measureOne("refused action"),
  };
  await metered.stop();
  await service.stop();
  return { costs, lookUp };
}

const billOf = (...costs: Costed[]): Line[] =>
  bill(
    costs,
    costs.reduce((sum, { cpu }) => sum + cpu, 0),
  );

async function measureProvider(workshop: Workshop, quick: boolean) {
  const metered = await workshop.serve("metered", await workshop.state("tmpfs", SEEDED));
  const times = quick ? 3 : 50;
  const { costs, notified } = await measureAtProvider(metered.port, times);
  await metered.stop();
  const service = await workshop.serve("service", await workshop.state("tmpfs", SEEDED));
  const cpu = await cpuAtProvider(service, quick ? 50 : 500);
  await service.stop();
  const of = (step: Step): Cost => {
    const cost = costs.get(step);
    if (cost === undefined) throw new Error(`${step} was not measured`);
    return cost;
  };
  const repeated = (count: number, ...steps: Step[]) => Array.from({ length: count }, () => steps).flat();
  const journeys: Readonly<Record<Journey, readonly Step[]>> = {
    confirmed: [
      "create at a provider",
      "confirm",
      ...repeated(notified.confirmed, "notification", "the look that it leads to, nothing new"),
    ],
    refunded: [
      "create at a provider",
      "confirm that holds the money",
      "capture",
      "refund of a part",
      ...repeated(notified.refunded, "notification", "the look that it leads to, nothing new"),
    ],
    paidByPayer: [
      "create at a provider",
      "confirm that needs the payer",
      ...repeated(LOOKS_IN_A_MINUTE, "look at what the payer has not done yet"),
      ...repeated(notified.paidByPayer - 1, "notification", "the look that it leads to, the payer asked"),
      "notification",
      "the look that it leads to, paid",
    ],
  };
  return { times, of, notified, bill: (journey: Journey) => bill(journeys[journey].map(of), cpu[journey]) };
}
