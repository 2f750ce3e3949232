/** What the Worker exports: the HTTP app, and the object that puts one payment's actions in line. */
import { app } from "./app";

export { PaymentObject } from "./payment/object";

export default { fetch: app.fetch } satisfies ExportedHandler<Env>;
