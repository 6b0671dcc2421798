// The reference for tests/it/schema.rs: a validator of JSON Schema draft 2020-12.
// Reads lines {"schema":{…},"document":…}; prints for each {"valid":bool,"errors":"…"}.
import { createInterface } from "node:readline";
import Ajv from "ajv/dist/2020.js";

for await (const line of createInterface({ input: process.stdin })) {
  const { schema, document } = JSON.parse(line);
  const ajv = new Ajv({ allErrors: true, strict: true, strictTypes: false, strictRequired: false });
  const valid = ajv.validate(schema, document);
  console.log(JSON.stringify({ valid, errors: ajv.errorsText() }));
}
