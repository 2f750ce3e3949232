/**
 * The same history of a payment twice, heard of otherwise: once with every notification in its time, once with any of them lost,
 * late or doubled, and looks at the provider in between. Shop and payer do the same at the same times, so that it ends the same.
 */
import { TOKENS, type Token } from "../../src/sandbox/tokens";
import type { SimulatedD1 } from "./d1";
import { judgeEnd, type Rows, readRows } from "./operations-judge";
import { type Ledger, MINUTE, OperationsPlatform } from "./operations-platform";
import { type PlannedPayment, Running, type Wish } from "./operations-simulation";
import { derived, World } from "./world";

const DAY = 24 * 60 * MINUTE;
/** Between two requests of the shop's: what the one before it has led to is over, whoever was told. */
const PAUSE_MS = 2 * DAY;
const STILL_AFTER_MS = 12 * DAY;
/** What is paid after its end comes to one thing where that end was heard of, and to another where nobody looked before it was paid. */
const TOKEN_NAMES = (Object.keys(TOKENS) as Token[]).filter((token) => token !== "test_paid_after_expiry");

interface CalmProgram {
  readonly payment: PlannedPayment;
  readonly wishes: readonly Wish[];
}

export interface TwoRuns {
  /** In which the notifications of the second run were not as those of the first. */
  readonly struck: number;
  readonly violation: string | null;
}

function calmProgram(seed: number): CalmProgram {
  const world = new World(derived(seed, "calm operations"));
  const isManual = world.random() < 0.4;
  const payment: PlannedPayment = {
    ...{ token: world.pick(TOKEN_NAMES), isManual, isTokenKnown: world.random() < 0.5 },
    expiresIn: world.random() < 0.2 ? 3_600 : null,
    payer: world.pick(["pays", "pays", "refuses", "never comes"]),
    payerAfterMs: world.below(10 * MINUTE),
    ...{ singleOf: null, isCreatedLater: false },
  };
  const later = (): Wish["action"] =>
    world.pick([...(["refunds", "refunds", "refund", "cancel"] as const), ...(isManual ? (["capture"] as const) : [])]);
  const actions: Wish["action"][] = [
    "confirm",
    ...(isManual && world.random() < 0.7 ? ["capture" as const] : []),
    ...Array.from({ length: 1 + world.below(3) }, later),
  ];
  const wishes = actions.map(
    (action, at): Wish => ({
      ...{ payment: 0, action, amount: world.random() < 0.3 ? null : world.pick(["6.17", "5", "1"]) },
      ...{ key: `${action}-${at}`, pauseMs: 0 },
    }),
  );
  return { payment, wishes };
}

/** Runs a history twice; what is wrong, or null. */
export async function simulateAgain(seed: number, d1: SimulatedD1, ledger: Ledger): Promise<TwoRuns> {
  const program = calmProgram(seed);
  const first = await play(seed, program, d1, ledger, false);
  const second = await play(seed, program, d1, ledger, true);
  const { struck } = second;
  const { token } = program.payment;
  if (first.violation !== null) return { struck, violation: `${token}, all notified: ${first.violation}` };
  if (second.violation !== null) return { struck, violation: `${token}, notified otherwise: ${second.violation}` };
  const isSame = first.end === second.end;
  return { struck, violation: isSame ? null : `${token} ends in two ways:\n${first.end}\n${second.end}` };
}

async function play(
  seed: number,
  { payment, wishes }: CalmProgram,
  d1: SimulatedD1,
  ledger: Ledger,
  isOtherwise: boolean,
): Promise<{ readonly struck: number; readonly end: string; readonly violation: string | null }> {
  d1.clear();
  const world = new World(derived(seed, isOtherwise ? "notified otherwise" : "all notified"));
  const platform = new OperationsPlatform(world, d1, ledger);
  const run = new Running(world, platform, []);
  platform.notificationFaultRate = isOtherwise ? world.pick([0.3, 0.7, 1]) : 0;
  const played = async (): Promise<string | null> => {
    const start = world.now;
    await run.create([payment]);
    const payer = run.payer(payment, 1);
    for (const [at, wish] of wishes.entries()) {
      await run.until(start + at * PAUSE_MS, isOtherwise);
      await run.syncAll();
      await run.ask(wish, payment);
    }
    await run.until(start + wishes.length * PAUSE_MS, isOtherwise);
    await payer;
    platform.notificationFaultRate = 0;
    const restless = await run.untilStill(STILL_AFTER_MS);
    if (restless !== null) return restless;
    await run.syncAll();
    const { payments, effects } = ledger;
    const evidence = { rows: readRows((sql) => d1.rows(sql)), asked: [], lines: [], payments, effects };
    return judgeEnd({ ...evidence, planned: [payment] }, world.now);
  };
  const ended = (violation: string | null) => {
    const struck = [...platform.struck.values()].reduce((sum, times) => sum + times, 0);
    return { struck, end: endOf(readRows((sql) => d1.rows(sql))), violation };
  };
  try {
    return ended((await world.run(() => played().finally(() => platform.stop()))) ?? platform.findings[0] ?? null);
  } catch (error) {
    return ended(`${error instanceof Error ? error.stack : error}\n${world.errors.join("\n")}`);
  }
}

/** What it has come to, without names and times. */
function endOf({ payments, operations, items, disputes }: Rows): string {
  const codeOf = (failure: string | null) => (failure === null ? null : JSON.parse(failure).code);
  return JSON.stringify({
    payments: payments.map(({ status, captured_minor, refunded_minor }) => [status, captured_minor, refunded_minor]),
    operations: operations
      .map(({ kind, amount_minor, state, source, failure }) =>
        [kind, amount_minor, state, source, codeOf(failure)].join(" "),
      )
      .sort(),
    items: items.map(({ kind }) => kind).sort(),
    disputes: disputes.map(({ amount_minor, state }) => `${amount_minor} ${state}`).sort(),
  });
}
