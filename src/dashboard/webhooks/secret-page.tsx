/** A webhook's secret, which is shown once, and what it is for. */
import { ShownOnce } from "../action-form";

const EXAMPLE = `import { Webhook } from "standardwebhooks";

const webhook = new Webhook(process.env.WEBHOOK_SECRET);
app.post("/webhooks", async (c) => {
  // The body as it was sent: a signature holds for its bytes.
  const event = webhook.verify(await c.req.text(), c.req.header());
  await handle(event); // once for each event.id: an event may be sent twice
  return c.body(null, 204);
});`;

/**
 * @param secret null where an earlier sending of the form has made it, and it was shown then
 * @param path the endpoint's page
 */
export function SecretPage({ title, secret, path }: { title: string; secret: string | null; path: string }) {
  return (
    <div class="card stacked">
      <h1>{title}</h1>
      {secret === null ? (
        <p>
          The form was sent twice, and the secret was in the first answer. If you have not seen it, roll the secret for
          a new one.
        </p>
      ) : (
        <>
          <ShownOnce label="Its secret, which is shown this once" text={secret} />
          <p>It signs what is sent. Your server checks each request with it:</p>
          <pre>
            <code>{EXAMPLE}</code>
          </pre>
        </>
      )}
      <p>
        <a class="button" href={path}>
          Go to the endpoint
        </a>
      </p>
    </div>
  );
}
