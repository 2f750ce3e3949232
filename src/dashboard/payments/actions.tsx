/** What can be done to a payment: as its lifecycle and the visitor's key allow, each with its form and the amount that it moves. */
import type { Child } from "hono/jsx";
import { ACTION_SCOPES, actionRoute } from "../../operation/routes/actions";
import { getPaymentRoute } from "../../operation/routes/payment";
import { syncPaymentRoute } from "../../operation/routes/provider";
import { createRefundRoute } from "../../operation/routes/refunds";
import { ACTIONS, type Action, outcome, refusal } from "../../payment/lifecycle";
import type { PaymentResponse } from "../../payment/response";
import { isProvider, PROVIDERS } from "../../provider/providers";
import { ActionForm, idempotencyKeyOf } from "../action-form";
import type { Problem } from "../api";
import { words } from "../format";
import { CsrfField } from "../layout";
import type { NoticeName } from "../notices";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import { may, type Visit } from "../visit";
import { ACTION_FIELDS } from "./action-fields";
import { FailureWords } from "./facts";
import { PAYMENTS_PATH } from "./filters";

export const paymentActions = newDashboardApp();

const SECTION = "Payments";
const pathOf = (id: string | number) => `${PAYMENTS_PATH}/${id}`;

const isAllowed = (visit: Visit, { status }: PaymentResponse, action: Action) =>
  outcome(status, action) === "changed" && may(visit, ACTION_SCOPES[action]);

/** Links to what can be done now, what moves money forward first. */
export function ActionLinks({ visit, payment }: { visit: Visit; payment: PaymentResponse }) {
  const path = pathOf(payment.id);
  const offered = ACTIONS.filter((action) => isAllowed(visit, payment, action));
  const isAtProvider = isProvider(payment.provider) && PROVIDERS[payment.provider] !== null;
  return (
    <>
      {offered.map((action, n) => {
        const { isDangerous, name } = ACTION_FIELDS[action];
        const look = isDangerous ? "button danger" : n === 0 ? "button" : "button quiet";
        return (
          <a id={`do-${action}`} class={look} href={`${path}/${action}`} data-opens-dialog>
            {name}
          </a>
        );
      })}
      {may(visit, "payments:write") && (
        <a id="do-edit" class="button quiet" href={`${path}/edit`} data-opens-dialog>
          Edit
        </a>
      )}
      {isAtProvider && may(visit, "payments:write") && (
        <form method="post" action={`${path}/sync`}>
          <CsrfField visit={visit} />
          <button id="do-sync" type="submit" class="quiet">
            Ask the provider
          </button>
        </form>
      )}
    </>
  );
}

const NO_FORM = new URLSearchParams();

/** The page of an action's form, as it stands now: the payment may have changed since the last one. */
async function showForm(
  visit: Visit,
  id: string,
  action: Action,
  sent: URLSearchParams,
  refused: Problem | null,
): Promise<Shown> {
  const found = await visit.api.call(getPaymentRoute, { params: { payment_id: id } });
  if (found.tag === "problem") return failed(found.problem, SECTION);
  const payment = found.data;
  const { title, submit, isDangerous, fields } = ACTION_FIELDS[action];
  if (outcome(payment.status, action) !== "changed") {
    return nothingToDo(payment, title, refused?.detail ?? refusal(payment.status, action));
  }
  // The key of a form that has done something before, with other contents, is of no use to this one.
  const isUsed = refused?.type === "/problems/idempotency-key-reused";
  const content = (
    <ActionForm
      visit={visit}
      title={title}
      action={`${pathOf(id)}/${action}`}
      back={pathOf(id)}
      submit={submit(visit, payment)}
      isDangerous={isDangerous}
      idempotencyKey={idempotencyKeyOf(isUsed ? NO_FORM : sent)}
      refused={refused}
    >
      {fields(visit, payment, sent)}
    </ActionForm>
  );
  return { title, section: SECTION, content, status: refused?.status ?? 200 };
}

/** Somebody else was faster, or the address is an old one. */
function nothingToDo(payment: PaymentResponse, title: string, detail: string): Shown {
  const content = (
    <Ended id={payment.id} title={title}>
      <p role="alert">
        {detail}. The payment is {words(payment.status)} now.
      </p>
    </Ended>
  );
  return { title, section: SECTION, content, status: 409 };
}

/** What an action came to, where that is no success: with the way back to the payment. */
function Ended({ id, title, children }: { id: string | number; title: string; children: Child }) {
  return (
    <section class="card stacked action" data-dialog aria-labelledby="action-title">
      <h1 id="action-title">{title}</h1>
      {children}
      <p>
        <a class="button" href={pathOf(id)}>
          Back to the payment
        </a>
      </p>
    </section>
  );
}

/** The provider has declined: it was asked, and what became of it is told by the payment. */
function declined(
  id: string | number,
  title: string,
  { detail, status, failure }: Omit<Problem, "type" | "title" | "instance">,
) {
  const content = (
    <Ended id={id} title={title}>
      <div class="refusal" role="alert">
        {failure ? <FailureWords failure={failure} /> : <p>{detail}</p>}
      </div>
    </Ended>
  );
  return { title, section: SECTION, content, status } as const;
}

/** What an action has come to: what the page of the payment then says, or the refusal. */
async function run(visit: Visit, id: string, action: Action, sent: URLSearchParams): Promise<Shown> {
  const asked = {
    params: { payment_id: id },
    body: ACTION_FIELDS[action].body(sent),
    headers: { "Idempotency-Key": idempotencyKeyOf(sent) },
  };
  if (action === "refund") {
    const made = await visit.api.call(createRefundRoute, asked);
    if (made.tag === "problem") return showForm(visit, id, action, sent, made.problem);
    const { status, failure } = made.data;
    // That there is a refund is a success of the API; that its money did not move is none for who asked for it.
    if (failure) return declined(id, "The refund has failed", { detail: failure.message, status: 200, failure });
    return done(pathOf(id), status === "pending" ? "refund_undecided" : "refund_succeeded");
  }
  const answered = await visit.api.call(actionRoute(action), asked);
  if (answered.tag === "problem") {
    const { problem } = answered;
    return problem.status === 402
      ? declined(id, "The provider declined it", problem)
      : showForm(visit, id, action, sent, problem);
  }
  const isAuthorized = action === "confirm" && answered.data.status === "authorized";
  return done(
    pathOf(id),
    answered.status === 202 ? "action_undecided" : isAuthorized ? "payment_authorized" : DONE[action],
  );
}

const DONE = {
  confirm: "payment_confirmed",
  capture: "payment_captured",
  cancel: "payment_cancelled",
  fail: "payment_failed",
} as const satisfies Readonly<Record<Exclude<Action, "refund">, NoticeName>>;

for (const action of ACTIONS) {
  const path = `${PAYMENTS_PATH}/:id/${action}`;
  const options = { scopes: [ACTION_SCOPES[action]] } as const;
  view(paymentActions, path, options, (visit, { param }) => showForm(visit, param("id"), action, NO_FORM, null));
  form(paymentActions, path, options, (visit, { param, form: sent }) => run(visit, param("id"), action, sent));
}

form(paymentActions, `${PAYMENTS_PATH}/:id/sync`, { scopes: ["payments:write"] }, async (visit, { param }) => {
  const asked = await visit.api.call(syncPaymentRoute, { params: { payment_id: param("id") } });
  return asked.tag === "problem" ? failed(asked.problem, SECTION) : done(pathOf(param("id")), "payment_synced");
});
