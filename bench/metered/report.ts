/** What the metered Worker answers with: what one request asked of D1, of the payment's object and of the provider. */
export interface Report {
  readonly status: number;
  /** What the service answered. */
  readonly body: string;
  /** Each round trip to D1, with its statements in order. */
  readonly trips: readonly Trip[];
  /** Calls of the payment's object, its alarms included. */
  readonly objectCalls: number;
  /** How long the object was at work, in milliseconds. */
  readonly objectTime: number;
  /** Rows that Cloudflare bills the object's own storage for: each alarm that is set, and each time all is deleted. */
  readonly objectRows: number;
  readonly providerCalls: number;
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
