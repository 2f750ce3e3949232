/** What a reconciliation run is carried on with: what it needs of whoever runs it, and how its steps are committed. */
import type { DeliveryId } from "../outbox/outbox";
import type { ProviderAccountRow } from "../provider/accounts/accounts";
import type { AccountAdapter, Connection } from "../provider/seam";
import type { Database } from "../storage/database";
import type { Sql } from "../storage/sql";
import { moveRun, type Progress, type RunChange, type RunRow } from "./runs";

/** What runs need of whoever carries them on. */
export interface Office {
  readonly db: Database;
  /** The adapter of a provider with accounts; undefined where there is none of the name. */
  readonly adapterOf: (provider: string) => AccountAdapter | undefined;
  /** The way to an account's provider. @throws Outage when an operator has to mend it first */
  readonly connect: (account: ProviderAccountRow, adapter: AccountAdapter) => Promise<Connection>;
  /** Has payments ask their provider by themselves, soon. @throws Outage when their objects are out of reach */
  readonly wake: (merchantId: number, paymentIds: readonly number[]) => Promise<void>;
  readonly enqueue: (merchantId: number, deliveries: readonly DeliveryId[]) => Promise<void>;
  /** In milliseconds. */
  readonly now: () => number;
  /** Each commit is known by an id of its own. */
  readonly newCommitId: () => string;
}

/** A run, and what it is carried on with. */
export interface Desk extends Office {
  readonly run: RunRow;
  readonly progress: Progress;
  readonly account: ProviderAccountRow;
  readonly adapter: AccountAdapter;
  readonly connection: Connection;
  /** How many statements the next step may have. */
  readonly statements: number;
}

/** What became of a step. */
export type Committed =
  /** It is committed, and the next one may follow. */
  | { readonly tag: "moved"; readonly run: RunRow }
  /** It is committed, and the next one is due later, or there is none. */
  | { readonly tag: "rests"; readonly run: RunRow }
  /** Somebody else carries the run on. */
  | { readonly tag: "lost" };

/** The provider gave no answer that says anything: nothing is committed. */
export interface Unheard {
  readonly tag: "unheard";
  readonly detail: string;
  readonly retryAfterMs: number | null;
}

export type Stepped = Committed | Unheard;

/** How long a run is kept from others, who would do the same: longer than any step takes; in milliseconds. */
export const HOLD_MS = 120_000;

/** Commits a step: what it has found, and how far the run has come. One round trip. */
export async function commitStep(
  { db, run, now }: Pick<Desk, "db" | "run" | "now">,
  statements: readonly (Sql | null)[],
  change: RunChange,
  { isResting = false, differing }: { readonly isResting?: boolean; readonly differing?: Sql } = {},
): Promise<Committed> {
  const heard = { failing_since: null, failure: null, due_at: now() + HOLD_MS };
  const { rows } = await db.batch<RunRow>([...statements, moveRun(run, { ...heard, ...change }, differing)]);
  const [moved] = rows.at(-1) ?? [];
  if (moved === undefined) return { tag: "lost" };
  return { tag: isResting ? "rests" : "moved", run: moved };
}
