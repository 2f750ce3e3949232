// stripe-stateful-mock, which somebody else wrote, on the loopback interface and a free port. It prints where it answers.
import mock from "stripe-stateful-mock";

const server = mock.createExpressApp().listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
