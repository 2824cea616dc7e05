import { z } from 'zod'

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)

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
  requests_in_flight: z
    .int()
    .min(1)
    .max(100_000)
    .default(1000)
    .describe('Requests worked on at once; what comes beyond is refused with 503.'),
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
