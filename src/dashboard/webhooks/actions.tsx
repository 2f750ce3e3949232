/** What can be done to a webhook endpoint, each with its form. */
import type { Child } from "hono/jsx";
import type { WebhookEndpointResponse } from "../../outbox/endpoint-schemas";
import { replayWebhookEventsRoute } from "../../webhook/routes/deliveries";
import {
  deleteWebhookEndpointRoute,
  getWebhookEndpointRoute,
  rollWebhookSecretRoute,
  updateWebhookEndpointRoute,
} from "../../webhook/routes/endpoints";
import { testWebhookEndpointRoute } from "../../webhook/routes/test-event";
import { ActionForm, idempotencyKeyOf } from "../action-form";
import type { Problem } from "../api";
import { countText } from "../format";
import { done, failed, form, newDashboardApp, type Shown, view } from "../view";
import type { Visit } from "../visit";
import { EndpointFields, readFields } from "./endpoint-fields";
import { explainAttempt } from "./explain";
import { SecretPage } from "./secret-page";

export const endpointActions = newDashboardApp();

const SCOPES = ["webhooks:manage"] as const;

interface EndpointForm {
  readonly name: string;
  readonly title: string;
  readonly submit: string;
  readonly isDangerous?: boolean;
  /** What stands in the form, for what was sent, or for nothing yet. */
  readonly content: (endpoint: WebhookEndpointResponse, sent: URLSearchParams) => Child;
  /** What the form does: where it leads, or the refusal. */
  readonly run: (
    visit: Visit,
    path: string,
    id: string,
    sent: URLSearchParams,
  ) => Promise<Shown | { readonly refused: Problem }>;
}

const path = (id: string) => `/dashboard/webhooks/${id}`;

/** Adds a form with the page that it stands on. */
function endpointForm(described: EndpointForm): void {
  const { name, title, submit, isDangerous = false, content, run } = described;
  const route = `/dashboard/webhooks/:endpoint/${name}`;
  const show = async (visit: Visit, id: string, sent: URLSearchParams, refused: Problem | null): Promise<Shown> => {
    const found = await visit.api.call(getWebhookEndpointRoute, { params: { endpoint_id: id } });
    if (found.tag === "problem") return failed(found.problem, "Webhooks");
    const page = (
      <ActionForm
        visit={visit}
        title={title}
        action={`${path(id)}/${name}`}
        back={path(id)}
        submit={submit}
        isDangerous={isDangerous}
        idempotencyKey={idempotencyKeyOf(sent)}
        refused={refused}
      >
        <p class="hint">{found.data.url}</p>
        {content(found.data, sent)}
      </ActionForm>
    );
    return { title, section: "Webhooks", content: page, status: refused?.status ?? 200 };
  };
  view(endpointActions, route, { scopes: SCOPES }, (visit, { param }) =>
    show(visit, param("endpoint"), new URLSearchParams(), null),
  );
  form(endpointActions, route, { scopes: SCOPES }, async (visit, { param, form: sent }) => {
    const id = param("endpoint");
    const result = await run(visit, path(id), id, sent);
    return "refused" in result ? show(visit, id, sent, result.refused) : result;
  });
}

/** Changes an endpoint. */
async function update(
  visit: Visit,
  id: string,
  body: object,
  notice: "endpoint_updated" | "endpoint_enabled" | "endpoint_disabled",
) {
  const updated = await visit.api.call(updateWebhookEndpointRoute, { params: { endpoint_id: id }, body });
  return updated.tag === "problem" ? { refused: updated.problem } : done(path(id), notice);
}

endpointForm({
  name: "edit",
  title: "Edit the endpoint",
  submit: "Save",
  content: ({ url, types, all_types }, sent) => (
    <EndpointFields
      url={sent.get("url") ?? url}
      types={sent.has("url") ? sent.getAll("types") : all_types ? null : types}
    />
  ),
  run: (visit, _, id, sent) => update(visit, id, readFields(sent), "endpoint_updated"),
});

endpointForm({
  name: "disable",
  title: "Disable the endpoint",
  submit: "Disable",
  isDangerous: true,
  content: () => (
    <p>
      What is still to be sent is cancelled, and what happens meanwhile is not sent later. Once it is enabled again, you
      can replay that time.
    </p>
  ),
  run: (visit, _, id) => update(visit, id, { enabled: false }, "endpoint_disabled"),
});

endpointForm({
  name: "enable",
  title: "Enable the endpoint",
  submit: "Enable",
  content: () => <p>From now on, events are sent again. To send what it missed, replay that time afterwards.</p>,
  run: (visit, _, id) => update(visit, id, { enabled: true }, "endpoint_enabled"),
});

endpointForm({
  name: "delete",
  title: "Delete the endpoint",
  submit: "Delete",
  isDangerous: true,
  content: () => (
    <p>Nothing is sent to it any more, and what was still to be sent is cancelled. This cannot be undone.</p>
  ),
  run: async (visit, _, id) => {
    const deleted = await visit.api.call(deleteWebhookEndpointRoute, { params: { endpoint_id: id } });
    if (deleted.tag === "problem" && deleted.problem.status !== 404) return { refused: deleted.problem };
    return done("/dashboard/webhooks", "endpoint_deleted");
  },
});

const OVERLAPS = [
  { seconds: 86_400, text: "for one more day" },
  { seconds: 3_600, text: "for one more hour" },
  { seconds: 0, text: "no longer: somebody else may know it" },
] as const;

endpointForm({
  name: "roll",
  title: "Roll the secret",
  submit: "Make a new secret",
  content: (_, sent) => (
    <fieldset>
      <legend>The old secret signs</legend>
      {OVERLAPS.map(({ seconds, text }, n) => (
        <label class="choice">
          <input
            type="radio"
            name="overlap_seconds"
            value={String(seconds)}
            checked={sent.has("overlap_seconds") ? sent.get("overlap_seconds") === String(seconds) : n === 0}
          />
          {text}
        </label>
      ))}
    </fieldset>
  ),
  run: async (visit, own, id, sent) => {
    const rolled = await visit.api.call(rollWebhookSecretRoute, {
      params: { endpoint_id: id },
      body: { overlap_seconds: Number(sent.get("overlap_seconds") ?? OVERLAPS[0].seconds) },
      headers: { "Idempotency-Key": idempotencyKeyOf(sent) },
    });
    if (rolled.tag === "problem") return { refused: rolled.problem };
    const title = "The secret is rolled";
    const secret = "secret" in rolled.data ? rolled.data.secret : null;
    return { title, section: "Webhooks", content: <SecretPage title={title} path={own} secret={secret} /> };
  },
});

endpointForm({
  name: "test",
  title: "Send a test event",
  submit: "Send it",
  content: () => (
    <p>
      One event of the type <code>webhook_endpoint.test</code> is sent to the endpoint now. You see here what it
      answers.
    </p>
  ),
  run: async (visit, own, id) => {
    const tested = await visit.api.call(testWebhookEndpointRoute, { params: { endpoint_id: id } });
    if (tested.tag === "problem") return { refused: tested.problem };
    const { succeeded, duration_ms, answer } = tested.data;
    const { result, advice } = explainAttempt(tested.data);
    const title = succeeded ? "The endpoint took the test event" : "The endpoint did not take the test event";
    const content = (
      <div class="card stacked">
        <h1>{title}</h1>
        <p>
          <strong>{result}</strong> in {countText(visit, duration_ms)} ms.
        </p>
        {advice !== null && <p>{advice}</p>}
        {answer !== "" && <pre tabindex={0}>{answer}</pre>}
        <p>
          <a class="button" href={own}>
            Back to the endpoint
          </a>
        </p>
      </div>
    );
    return { title, section: "Webhooks", content };
  },
});

endpointForm({
  name: "replay",
  title: "Replay a time",
  submit: "Send these events again",
  content: (_, sent) => (
    <>
      <p>
        The events of this time are sent again, of the types that the endpoint receives, also those that were never sent
        to it.
      </p>
      <label>
        From (UTC)
        <input name="from" required value={sent.get("from") ?? ""} placeholder="2026-01-16 or 2026-01-16T16:57:41Z" />
      </label>
      <label>
        Before (UTC)
        <input name="to" required value={sent.get("to") ?? ""} placeholder="2026-01-17" />
      </label>
    </>
  ),
  run: async (visit, own, id, sent) => {
    const [from, to, cursor] = [sent.get("from") ?? "", sent.get("to") ?? "", sent.get("cursor") ?? ""];
    const body = { from, to, ...(cursor !== "" && { cursor }) };
    const replayed = await visit.api.call(replayWebhookEventsRoute, { params: { endpoint_id: id }, body });
    if (replayed.tag === "problem") return { refused: replayed.problem };
    const { delivery_count, next_cursor } = replayed.data;
    const title = `${countText(visit, delivery_count)} ${delivery_count === 1 ? "event is" : "events are"} sent again`;
    const content =
      next_cursor === null ? (
        <div class="card stacked">
          <h1>{title}</h1>
          <p>
            <a class="button" href={own}>
              Back to the endpoint
            </a>
          </p>
        </div>
      ) : (
        <ActionForm visit={visit} title={title} action={`${own}/replay`} back={own} submit="Go on with the rest">
          <p>There are more in this time than one step takes.</p>
          <input type="hidden" name="from" value={from} />
          <input type="hidden" name="to" value={to} />
          <input type="hidden" name="cursor" value={next_cursor} />
        </ActionForm>
      );
    return { title, section: "Webhooks", content };
  },
});
