/** Who changes something, in which request, and when: what every event keeps of its cause. */
export interface Origin {
  readonly merchantId: number;
  /** The public id of the key that acts; null where none was asked for. */
  readonly keyId: string | null;
  /** What the caller knows the request by. */
  readonly requestId: string;
  /** Made by the service for this request alone: its own commit is recognised by it. */
  readonly commitId: string;
  /** In milliseconds. */
  readonly now: number;
}
