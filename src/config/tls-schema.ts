import { z } from 'zod'

/** Which CAs connections to other hosts trust (configuration section `tls`, of the service and of certcache). */
export const tlsSettings = z.strictObject({
  ca_file: z
    .string()
    .min(1)
    .max(4096)
    .optional()
    .describe(
      'PEM file with further trusted CA certificates, for connections to other hosts. docs/network.md lists the environment variables too.',
    ),
  ca_directory: z
    .string()
    .min(1)
    .max(4096)
    .optional()
    .describe(
      'Directory with further trusted CA certificates, such as /etc/grid-security/certificates. Every CA in it can then vouch for every host.',
    ),
})
