/** What the context of every request carries. */
export interface App {
  Bindings: Env;
  Variables: {
    /** Made for each request and never taken from it: an event is recognised by it. */
    requestId: string;
  };
}
