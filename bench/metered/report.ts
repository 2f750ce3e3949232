/** What the metered Worker answers with: what one request asked of D1 and of the payment's object. */
export interface Report {
  readonly status: number;
  /** Each round trip to D1, with its statements in order. */
  readonly trips: readonly Trip[];
  readonly objectCalls: number;
  /** How long the object was at work, in milliseconds. */
  readonly objectTime: number;
}

export interface Trip {
  readonly statements: readonly Statement[];
  /** As the runtime's meta has them; none when the statements failed and were rolled back. */
  readonly rowsRead: number;
  readonly rowsWritten: number;
}

export interface Statement {
  readonly sql: string;
  readonly values: readonly unknown[];
}
