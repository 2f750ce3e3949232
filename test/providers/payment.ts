/** A payment that an adapter is asked for, in memory: what the provider says is reduced, as the service does. */
import { scheduler } from "node:timers/promises";
import { vi } from "vitest";
import { applyChange, isUnsettled, type OperationView, type PaymentView } from "../../src/operation/reducer/change";
import { reduce } from "../../src/operation/reducer/reduce";
import type {
  Adapter,
  CaptureMethod,
  Connection,
  OperationKind,
  OperationRequest,
  Performed,
  ProviderOperation,
  ProviderPayment,
  Snapshot,
} from "../../src/provider/seam";

/** The clock of Workers, by which an answer may take too long. */
export const withScheduler = () => vi.stubGlobal("scheduler", scheduler);

export interface Asked {
  readonly id?: number;
  readonly amountMinor?: number;
  readonly currency?: string;
  readonly captureMethod?: CaptureMethod;
  readonly request?: OperationRequest;
}

let made = 0;

export function aPayment(adapter: Adapter, connection: Connection, asked: Asked = {}) {
  const { id = ++made, amountMinor = 10_000, currency = "EUR", captureMethod = "automatic", request = {} } = asked;
  const events: string[] = [];
  const heard: Snapshot[] = [];
  let view: PaymentView = {
    ...{ status: "pending", amountMinor, currency, captureMethod, capturedMinor: 0, refundedMinor: 0 },
    ...{ failure: null, nextAction: null, providerReference: null, operations: [], disputes: [], items: [] },
  };

  const payment = (): ProviderPayment => ({
    ...{ id, merchantId: 1, amountMinor, currency, captureMethod },
    reference: view.providerReference,
  });

  function hear(snapshot: Snapshot): void {
    heard.push(snapshot);
    for (let change = reduce(view, snapshot); change !== null; change = reduce(view, snapshot)) {
      view = applyChange(view, change);
      if (change.event) events.push(change.event.type);
    }
  }

  /** Hears what the provider says, once it was told to release what a capture has left; nothing, where it does not take that. */
  async function absorb(snapshot: Snapshot, by: Connection): Promise<void> {
    const capture = unsettled().find(({ kind }) => kind === "capture");
    if (adapter.release && capture && snapshot.heldMinor) {
      const { kind, amountMinor: amount, nonce } = capture;
      const operation = { kind, amountMinor: amount, nonce: nonce ?? "", request: {}, payment: payment() };
      const { tag } = await adapter.release(by, operation);
      if (tag === "busy" || tag === "unknown") return;
    }
    hear(snapshot);
  }

  /** Sends an operation that is open, again as for the first time. */
  async function send(operation: ProviderOperation, number: number, by: Connection): Promise<Performed> {
    const performed = await adapter.perform(by, operation);
    if ("snapshot" in performed && performed.snapshot) await absorb(performed.snapshot, by);
    const state: OperationView["state"] = performed.tag === "refused" ? "failed" : "unknown";
    const operations = view.operations.map((one) =>
      one.number === number && one.state === "open" && performed.tag !== "answered" ? { ...one, state } : one,
    );
    view = { ...view, operations };
    return performed;
  }

  /** Has the payment made at the provider, unless it is. */
  async function prepare(nonce = `n${id}-prepare`, by = connection): Promise<void> {
    if (view.providerReference !== null) return;
    const operation: ProviderOperation = { kind: "authorize", amountMinor, nonce, request, payment: payment() };
    const prepared = await adapter.prepare(by, operation);
    if (prepared.tag !== "prepared") throw new Error(JSON.stringify(prepared));
    view = { ...view, providerReference: prepared.reference };
  }

  /** Asks for an operation; what was sent, to send it again. */
  async function run(kind: OperationKind, amount = amountMinor, changes: OperationRequest = {}, by = connection) {
    const number = view.operations.length + 1;
    const nonce = `n${id}-${kind}-${number}`;
    await prepare(nonce, by);
    const fresh: OperationView = {
      ...{ number, kind, amountMinor: amount, state: "open", nonce, providerReference: null, failure: null },
      source: "request",
    };
    view = { ...view, operations: [...view.operations, fresh] };
    const sent = { ...request, ...changes };
    const operation: ProviderOperation = { kind, amountMinor: amount, nonce, request: sent, payment: payment() };
    return { performed: await send(operation, number, by), again: () => send(operation, number, connection) };
  }

  /** Asks what has become of it. */
  async function ask(): Promise<PaymentView> {
    const observed = await adapter.observe(connection, payment());
    if (observed.tag !== "answered") throw new Error(JSON.stringify(observed));
    await absorb(observed.snapshot, connection);
    return view;
  }

  const unsettled = () => view.operations.filter(({ state }) => isUnsettled(state));
  const last = () => heard.at(-1);
  return { id, events, prepare, run, ask, view: () => view, payment, unsettled, last };
}
