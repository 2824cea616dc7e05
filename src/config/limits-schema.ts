import { z } from 'zod'

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)

const share = z.number().min(0.001).max(1)

/** Bounds on what callers may do (configuration section `limits`). */
export const limitsSettings = z.strictObject({
  requests_per_second_per_address: z
    .number()
    .min(0.1)
    .max(1e6)
    .default(50)
    .describe('Rate of requests per client address (IPv6: per /64).'),
  burst_per_address: z
    .int()
    .min(1)
    .max(1e6)
    .default(500)
    .describe('Requests that may come at once from one address.'),
  credentials_per_second_per_identity: z
    .number()
    .min(0.01)
    .max(1e6)
    .default(10)
    .describe('Rate of credential requests per identity.'),
  burst_per_identity: z
    .int()
    .min(1)
    .max(1e6)
    .default(200)
    .describe('Credential requests that may come at once for one identity.'),
  revocations_per_hour_per_identity: z
    .int()
    .min(1)
    .max(1e6)
    .default(60)
    .describe(
      'How many credentials an identity may revoke in an hour, in all ways; as many may be revoked at once. Each revoked EEC stays on the CRL, which all relying parties fetch, until it ends. The command line is not bound by this.',
    ),
  probes_per_second_per_address: z
    .number()
    .min(0.1)
    .max(1e6)
    .default(20)
    .describe('Rate of requests to /healthz, /readyz and /metrics per client address.'),
  opaque_tokens_per_second_per_address: z
    .number()
    .min(0.1)
    .max(1e6)
    .default(10)
    .describe(
      'Rate at which tokens that are no JWT, and are not remembered, are looked up at the providers, per client address. Ten times as many may come at once.',
    ),
  requests_in_flight: z
    .int()
    .min(1)
    .max(100_000)
    .default(1000)
    .describe(
      'Requests worked on at once. When there is no room for a new one, a request that waits for its own client is given up first; else the new one is refused with 503.',
    ),
  connections: z
    .int()
    .min(10)
    .max(1_000_000)
    .default(10_000)
    .describe(
      'Connections open at once. When there is no room for a new one, one without a request is closed.',
    ),
  address_share: share
    .default(0.25)
    .describe(
      'Part of each pool (connections, requests worked on, checks of possession) that one client address may use at once (IPv6: per /64). Reverse proxies of `listen.trusted_proxies` are not bounded by it, their clients are.',
    ),
  identity_share: share
    .default(0.125)
    .describe(
      'Part of each pool (requests worked on, waiting for keys, waiting for plugins) that one identity may use at once, whatever its addresses are.',
    ),
  recorded_refusals_per_minute: z
    .int()
    .min(1)
    .max(1e6)
    .default(1)
    .describe(
      'Refusals of the same kind, from the same address and without a verified token, that go into the audit trail each minute. The others are counted in the metrics and in the next line.',
    ),
  body_timeout_seconds: seconds(1, 300)
    .default(10)
    .describe('How long a client may take to send the body of a request.'),
  request_timeout_seconds: seconds(1, 300).default(30).describe('Deadline of one request.'),
  body_bytes: z.int().min(1024).max(1_048_576).default(65_536).describe('Largest request body.'),
  shutdown_seconds: seconds(1, 300)
    .default(20)
    .describe('How long requests under way may take to finish after SIGTERM.'),
  key_pool_size: z
    .int()
    .min(0)
    .max(1000)
    .default(16)
    .describe('RSA-2048 keys kept ready for requests without a CSR.'),
  key_queue: z
    .int()
    .min(1)
    .max(10_000)
    .default(64)
    .describe('Requests that may wait for a key; what comes beyond is refused with 503.'),
})
