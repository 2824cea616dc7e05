import { z } from 'zod'

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)

const share = z.number().min(0.001).max(1)

/** Limits for callers (configuration section `limits`). */
export const limitsSettings = z.strictObject({
  replicas: z
    .int()
    .min(1)
    .max(100)
    .default(1)
    .describe(
      'Number of replicas behind the load balancer. Each replica counts the rates and bursts of callers for itself and allows this part of them. With 1, several replicas together allow as many times the rates.',
    ),
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
    .describe('Burst of requests from one address.'),
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
    .describe('Burst of credential requests of one identity.'),
  revocations_per_hour_per_identity: z
    .int()
    .min(1)
    .max(1e6)
    .default(60)
    .describe(
      'Maximum number of credentials that an identity may revoke in an hour, over all interfaces; this is also the burst. Each revoked EEC stays on the CRL, which all relying parties fetch, until it expires. The command line has no such limit.',
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
      'Rate of lookups of opaque tokens at the providers, per client address; cached tokens do not count. The burst is ten times this rate.',
    ),
  requests_in_flight: z
    .int()
    .min(1)
    .max(100_000)
    .default(1000)
    .describe(
      'Maximum number of concurrent requests. At the limit, a request that waits for its own client is dropped in favour of a new one; if there is none, the new one is refused with 503.',
    ),
  connections: z
    .int()
    .min(10)
    .max(1_000_000)
    .default(10_000)
    .describe(
      'Maximum number of open connections. At the limit, a connection without a request is closed in favour of a new one.',
    ),
  address_share: share
    .default(0.25)
    .describe(
      'Share of each pool (connections, concurrent requests, checks of possession) that one client address may use (IPv6: per /64). It applies to the clients of reverse proxies in `listen.trusted_proxies`, not to these proxies.',
    ),
  identity_share: share
    .default(0.125)
    .describe(
      'Share of each pool (concurrent requests, queue for keys, queue for plugins) that one identity may use, from all its addresses together.',
    ),
  recorded_refusals_per_minute: z
    .int()
    .min(1)
    .max(1e6)
    .default(1)
    .describe(
      'Maximum number of audit records per minute for refusals of the same kind, from the same address and without a verified token. Further refusals are counted in the metrics and in the next record.',
    ),
  body_timeout_seconds: seconds(1, 300)
    .default(10)
    .describe('Time limit for a client to send the body of a request, in seconds.'),
  request_timeout_seconds: seconds(1, 300)
    .default(30)
    .describe('Time limit for a request, in seconds.'),
  body_bytes: z
    .int()
    .min(1024)
    .max(1_048_576)
    .default(65_536)
    .describe('Maximum size of a request body.'),
  token_bytes: z
    .int()
    .min(1024)
    .max(65_536)
    .default(16_384)
    .describe(
      'Maximum size of an access token. All request headers together may have 16 KiB more. A reverse proxy before the service has a limit of its own, often 8 KiB (nginx: `large_client_header_buffers`).',
    ),
  shutdown_seconds: seconds(1, 300)
    .default(20)
    .describe('Time limit for running requests to finish after SIGTERM, in seconds.'),
  key_pool_size: z
    .int()
    .min(0)
    .max(1000)
    .default(16)
    .describe(
      'Number of RSA keys of each kind generated in advance, for requests without a CSR and for new EECs. Idle cores make them.',
    ),
  key_queue: z
    .int()
    .min(1)
    .max(10_000)
    .default(64)
    .describe('Maximum number of requests that wait for a key; further requests get 503.'),
})
