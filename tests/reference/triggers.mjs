// The reference for tests/it/reference_triggers.rs: Segment's own trigger parser and evaluator.
// Reads lines {"trigger":"…","event":{…}}; prints for each {"matches":bool} or {"error":"…"}.
import { createInterface } from "node:readline";
import subscriptions from "@segment/destination-subscriptions";

const answer = (line) => {
  const { trigger, event } = JSON.parse(line);
  const condition = subscriptions.parseFql(trigger);
  if (condition.error) return { error: condition.error.message };
  return { matches: subscriptions.validate(condition, event) };
};

let answers = [];
for await (const line of createInterface({ input: process.stdin })) {
  try {
    answers.push(JSON.stringify(answer(line)));
  } catch (error) {
    answers.push(JSON.stringify({ error: error.message }));
  }
}
console.log(answers.join("\n"));
