import { DurableObject } from "cloudflare:workers";
import type { Origin } from "../context";
import { setAlarmBy } from "../storage/alarm";
import { type Cost, Database } from "../storage/database";
import { logError } from "../storage/log";
import { type ObjectId, objectName, readObjectName } from "../storage/object-name";
import { classifyObjectError, Outage, withRetries } from "../storage/outage";
import { isRefusal } from "./classify";
import { counterOf } from "./counter";
import { askProvider, type ProviderActionResult, runAtProvider } from "./provider-action";
import { backoffMs } from "./reducer/backoff";
import { type ActionRequest, applyAction } from "./run-action";
import { applyUpdate, type UpdateRequest } from "./update";
import { WaitingList, type WaitingPlace } from "./waiting/waiting-list";

/** So many calls wait for the payment, or this one has waited for so long, that it was not run. */
interface Busy {
  readonly tag: "busy";
}

/** What crosses RPC. Thrown errors lose their class on the way, so they too are tagged values. */
export interface Reply {
  readonly result: ProviderActionResult | Busy | { tag: "outage"; cause: string } | { tag: "bug"; cause: string };
  readonly cost: Cost;
}

/** Calls that may wait for their turn at once: what comes then is refused at once, instead of waiting for seconds. */
const MAX_WAITING_CALLS = 100;
/** How long a call may wait for its turn, in milliseconds: after that its caller has hardly waited for it. */
const MAX_WAIT_MS = 10_000;
/** How long after something went wrong the object is woken again, in milliseconds. */
const RESUME_AFTER_MS = 30_000;
/** Where it is stored how often the provider gave no answer. */
const MISSES = "misses";
const NO_COST: Cost = { trips: 0, rowsRead: 0, rowsWritten: 0 };

/** How many requests of unknown outcome an object remembers. */
const MAX_LOST_REQUESTS = 100;

/** How many requests may wait for one payment to change. */
const MAX_WAITING_PER_PAYMENT = 5;

/**
 * One payment's line: the object named by the merchant and the payment's id runs its actions one at a time, in order
 * of arrival. Only its merchant's calls meet it, and the line has an end. It stores nothing but an alarm, and how often a provider
 * gave no answer, while that has still to be asked; the truth is in D1, and the guards in SQL hold if it ever exists twice.
 */
export class PaymentObject extends DurableObject<Env> {
  // Awaits on D1 and providers do not hold the runtime's input gate: without this queue, calls would interleave.
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;
  /** The requests whose outcome was last not known here. */
  #lost: readonly string[] = [];
  readonly #watchers = new WaitingList(MAX_WAITING_PER_PAYMENT);
  /** Whether a provider moves the payment's money, which never changes; false while nobody has looked. */
  #isAtProvider = false;
  /** Whether somebody has told of news at the provider since it was last asked. */
  #isWoken = false;
  /** The alarm in case an action breaks off, and the one that was set before it, both in milliseconds. */
  #safeguard: { readonly at: number; readonly before: number | null } | null = null;

  /** Answers, and does nothing: readiness asks whether objects of this class can be called. */
  ping(): void {}

  /** Takes a place among those who wait for this payment to change; null when all are taken. See Watch. */
  enter(holdsMs: number): WaitingPlace | null {
    return this.#watchers.enter(holdsMs);
  }

  /** Runs an action on this payment once the actions before it have run; `busy` when too many wait. */
  run(origin: Origin, request: ActionRequest | UpdateRequest): Promise<Reply> {
    return this.#inLine(origin, (db) => this.#act(db, origin, request));
  }

  /** Asks the provider what has become of this payment, and records what has changed. */
  sync(origin: Origin): Promise<Reply> {
    return this.#inLine(origin, (db) => this.#sync(db, origin));
  }

  /** Has this payment looked at soon: something at its provider is due. Safe to call at any time, any number of times. */
  async wake(): Promise<void> {
    this.#isWoken = true;
    await setAlarmBy(this.ctx.storage, Date.now());
  }

  /** Goes on with what is not settled at the provider. Whatever fails, it is tried again. */
  override async alarm(): Promise<void> {
    const { merchantId, id } = readObjectName(this.ctx.id.name);
    const [requestId, commitId] = [crypto.randomUUID(), crypto.randomUUID()];
    const { result } = await this.sync({ merchantId, keyId: null, requestId, commitId, now: Date.now() });
    if (result.tag !== "outage" && result.tag !== "bug" && result.tag !== "busy") return;
    const cause = result.tag === "busy" ? "Too many calls wait" : result.cause;
    logError({ message: "payment not resumed", merchant_id: merchantId, payment_id: id, cause });
    await setAlarmBy(this.ctx.storage, Date.now() + RESUME_AFTER_MS);
  }

  async #inLine(origin: Origin, work: (db: Database) => Promise<Reply["result"]>): Promise<Reply> {
    if (this.#waiting >= MAX_WAITING_CALLS) return this.#busy(origin);
    const arrivedAt = Date.now();
    this.#waiting++;
    const reply = this.#last.then(async () => {
      this.#waiting--;
      if (Date.now() - arrivedAt > MAX_WAIT_MS) return this.#busy(origin);
      const db = new Database(this.env.DB);
      const result = await caught(() => work(db));
      if ("payment" in result) this.#watchers.notify(result.payment.version);
      // An answer that was lost may be that of a commit.
      if (result.tag === "outage" || result.tag === "bug") this.#watchers.notify(null);
      return { result: this.#sure(origin, result), cost: db.cost };
    });
    this.#last = reply;
    return reply;
  }

  #busy(origin: Origin): Reply {
    return { result: this.#sure(origin, { tag: "busy" }), cost: NO_COST };
  }

  /**
   * A call may come twice. What the first one has lost on its way to D1 may still arrive there, so that a
   * refusal of the second would be a guess.
   */
  #sure({ commitId }: Origin, result: Reply["result"]): Reply["result"] {
    if (result.tag === "outage") this.#lost = [commitId, ...this.#lost].slice(0, MAX_LOST_REQUESTS);
    return (isRefusal(result) || result.tag === "busy") && this.#lost.includes(commitId)
      ? { tag: "outage", cause: "The call came before, and may still arrive" }
      : result;
  }

  async #act(db: Database, origin: Origin, request: ActionRequest | UpdateRequest): Promise<Reply["result"]> {
    const { id } = readObjectName(this.ctx.id.name);
    if (request.action === "update") return applyUpdate(db, origin, id, request);
    // Such a request is one to a provider, or is refused: what settles at once takes neither.
    const isForProvider = request.paymentMethod != null || request.returnUrl != null;
    if (!this.#isAtProvider && !isForProvider) {
      const result = await applyAction(db, origin, id, request);
      if (result.tag !== "elsewhere") return result;
      this.#isAtProvider = true;
    }
    const result = await runAtProvider(this.#counter(db, origin, id, request), origin, id, request);
    if (result.tag === "at_provider") this.#isAtProvider = true;
    return this.#rest(result);
  }

  async #sync(db: Database, origin: Origin): Promise<Reply["result"]> {
    const { id } = readObjectName(this.ctx.id.name);
    this.#isWoken = false;
    const result = await askProvider(this.#counter(db, origin, id, null), origin, id);
    if (result === null) return { tag: "not_found" };
    // A notification is told once: what it was about is asked for until the provider answers.
    const dueAt = result.isUnheard && result.dueAt === null ? await this.#askAgainAt() : result.dueAt;
    return this.#rest({ ...result, dueAt });
  }

  /** When a provider that was asked for news and gave no answer is asked again, in milliseconds: later each time. */
  async #askAgainAt(): Promise<number> {
    const misses = 1 + ((await this.ctx.storage.get<number>(MISSES)) ?? 0);
    await this.ctx.storage.put(MISSES, misses);
    return Date.now() + backoffMs(misses);
  }

  #counter(db: Database, origin: Origin, id: number, request: ActionRequest | null) {
    return counterOf(this.env, db, origin, id, request, (at) => this.#guard(at));
  }

  /** Has the object woken by a time, should what follows break off. What is due sooner stays so. */
  async #guard(at: number): Promise<void> {
    const before = await this.ctx.storage.getAlarm();
    await setAlarmBy(this.ctx.storage, at);
    if (before !== at) this.#safeguard = { at, before };
  }

  /** Has the object woken when the provider is to be asked again; with nothing to ask, an alarm alone would keep a file. */
  async #rest<Result extends ProviderActionResult>(result: Result): Promise<Result> {
    const safeguard = this.#safeguard;
    this.#safeguard = null;
    // What was told while the action ran may be news to it.
    if (this.#isWoken) await setAlarmBy(this.ctx.storage, Date.now());
    else if (result.tag === "at_provider") await this.#setAlarm(result.dueAt);
    // Nothing was opened: what was due before is due as it was.
    else if (safeguard && (await this.ctx.storage.getAlarm()) === safeguard.at) await this.#setAlarm(safeguard.before);
    return result;
  }

  #setAlarm(at: number | null): Promise<void> {
    return at === null ? this.ctx.storage.deleteAll() : this.ctx.storage.setAlarm(at);
  }
}

/** The result of some work; what it throws, as a value. */
async function caught(work: () => Promise<Reply["result"]>): Promise<Reply["result"]> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Outage) return { tag: "outage", cause: String(error.cause) };
    return { tag: "bug", cause: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

/** What an object answers to a call that was not lost. */
type Answered = Exclude<Reply["result"], { tag: "outage" | "bug" }>;

/** Has a payment's provider asked through its object. */
export function syncPayment(
  objects: DurableObjectNamespace<PaymentObject>,
  db: Database,
  id: number,
  origin: Origin,
): Promise<Answered> {
  return call(objects, db, { merchantId: origin.merchantId, id }, (object) => object.sync(origin));
}

/**
 * Runs an action on a payment through its object: one object call, one D1 round trip where the payment settles at once.
 *
 * @param db counts what the object has spent
 * @throws Outage when the object or D1 is out of reach after retries
 */
export function runAction(
  objects: DurableObjectNamespace<PaymentObject>,
  db: Database,
  id: number,
  origin: Origin,
  request: ActionRequest | UpdateRequest,
): Promise<Answered> {
  return call(objects, db, { merchantId: origin.merchantId, id }, (object) => object.run(origin, request));
}

/** Calls a payment's object, and again where that helps. */
async function call(
  objects: DurableObjectNamespace<PaymentObject>,
  db: Database,
  payment: ObjectId,
  ask: (object: DurableObjectStub<PaymentObject>) => Promise<Reply>,
): Promise<Answered> {
  const name = objectName(payment);
  let attempts = 0;
  const { result, cost } = await withRetries(async (): Promise<Reply> => {
    attempts++;
    // A stub that failed may be broken for good, so every attempt takes a fresh one.
    return ask(objects.getByName(name));
  }, classifyObjectError);
  db.add(cost);
  switch (result.tag) {
    case "outage":
      throw new Outage(result.cause);
    case "bug":
      throw new Error("A bug in the payment's object", { cause: result.cause });
  }
  // As in applyAction: what the broken object has sent may still arrive.
  const isNothing = isRefusal(result) || result.tag === "busy" || result.tag === "blocked";
  if (attempts > 1 && isNothing) throw new Outage("An earlier attempt may still arrive");
  return result;
}
