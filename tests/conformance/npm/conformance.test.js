// The scenarios of ../scenarios.json with the vendor's Node.js client. The fake is the command in FAKEECS;
// trouble is made through its control API, as a test in any language makes it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const { default: Ecs, DescribeImageSharePermissionRequest } = require("@alicloud/ecs20140526");
const { $OpenApiUtil } = require("@alicloud/openapi-core");

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const table = JSON.parse(readFileSync(here("../scenarios.json")));
const NAMES = { client: "ClientError", server: "ServerError", throttling: "ThrottlingError" };

let fake, endpoint, control;

before(async () => {
  const options = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--data", here("../data.json")];
  fake = spawn(process.env.FAKEECS ?? "fakeecs", options, { stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: fake.stdout })[Symbol.asyncIterator]();
  endpoint = (await lines.next()).value.match(/http:\/\/(\S+)/)[1];
  control = (await lines.next()).value.match(/http:\/\/\S+/)[0];
});

after(() => fake.kill());

function call(signatureAlgorithm, { key = {}, request = {} }) {
  const wanted = { region: "cn-hangzhou", image: "m-demo-11", ...request };
  const config = new $OpenApiUtil.Config({
    accessKeyId: key.id ?? "testid",
    accessKeySecret: key.secret ?? "testsecret",
    securityToken: key.token,
    regionId: "cn-hangzhou",
    endpoint,
    protocol: "http",
    signatureAlgorithm,
  });
  return new Ecs(config).describeImageSharePermission(
    new DescribeImageSharePermissionRequest({
      regionId: wanted.region,
      imageId: wanted.image ?? undefined,
      pageNumber: wanted.page,
      pageSize: wanted.size,
    }),
  );
}

async function withFaults(faults, run) {
  for (const fault of faults) {
    await fetch(`${control}/faults`, { method: "POST", body: JSON.stringify(fault) });
  }
  try {
    await run();
  } finally {
    await fetch(`${control}/faults`, { method: "DELETE" });
  }
}

function summary({ body }, wanted) {
  const accounts = body.accounts.account;
  return {
    total: body.totalCount,
    page: body.pageNumber,
    size: body.pageSize,
    accounts: accounts.length,
    groups: body.shareGroups.shareGroup.map(({ group }) => group),
    ...(wanted.first && { first: [accounts[0].aliyunId, accounts[0].sharedTime ?? null] }),
  };
}

async function expectError(attempt, { kind, status, code, retry_after: retryAfter }) {
  const error = await attempt.then(() => assert.fail("no error"), (thrown) => thrown);
  if (!(kind in NAMES)) {
    assert.notEqual(error.name, "AssertionError");
    assert.equal(error.code in table.codes, false);
    return;
  }
  // Unlike its Python sister, this client tells throttling by the code, with or without a time to wait.
  assert.equal(error.name, NAMES[code.startsWith("Throttling") ? "throttling" : kind]);
  assert.deepEqual([error.statusCode, error.code], [status, code]);
  assert.equal(error.data.Code, code);
  if (retryAfter !== undefined) assert.equal(error.retryAfter, retryAfter);
}

for (const [name, algorithm] of [["ACS3", undefined], ["HMAC-SHA1", "v2"]]) {
  describe(name, () => {
    for (const scenario of table.scenarios) {
      test(scenario.name, () =>
        withFaults(scenario.faults ?? [], async () => {
          const attempt = call(algorithm, scenario);
          if (scenario.error) return expectError(attempt, scenario.error);
          assert.deepEqual(summary(await attempt, scenario.answer), scenario.answer);
        }));
    }
    for (const [code, status] of Object.entries(table.codes)) {
      test(`${status} ${code}`, () =>
        withFaults([{ code }], () =>
          expectError(call(algorithm, {}), { kind: status < 500 ? "client" : "server", status, code })));
    }
    test("the scheme is the one it says", async () => {
      await call(algorithm, {});
      const [entry] = await (await fetch(`${control}/journal?last=1`)).json();
      assert.equal(entry.scheme, { ACS3: "ACS3-HMAC-SHA256" }[name] ?? name);
    });
  });
}
