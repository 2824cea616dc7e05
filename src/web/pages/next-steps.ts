/** What a user does with a new credential: the commands after the download, for each kind of credential. */
import type { CredentialEntry } from '../../../plugins/plugin.ts'

/** Commands to run in the directory of the downloaded files, with a sentence before them. */
export interface NextSteps {
  readonly text: string
  readonly commands: readonly string[]
}

/**
 * Returns the next steps; undefined if there are none.
 *
 * @param fileOf returns the name under which the browser saves an entry
 */
export function nextStepsOf(
  pluginId: string | undefined,
  entries: readonly CredentialEntry[],
  fileOf: (entry: CredentialEntry) => string,
): NextSteps | undefined {
  const [first, second] = entries
  if (first === undefined) return undefined
  switch (pluginId) {
    case 'x509-proxy':
      return proxySteps(fileOf(first), first.value.includes('PRIVATE KEY-----'))
    case 'x509-certificate':
      return certificateSteps(fileOf(first), second && fileOf(second))
    case 'ssh-certificate':
      return sshSteps(fileOf(first))
    default:
      return secretSteps(
        entries.filter((entry) => entry.type !== 'text' && isSecret(entry)).map(fileOf),
      )
  }
}

const SECRET_NAME = /private|secret|passphrase|password/i

/** Returns whether a value stays hidden until the user opens it, because somebody else may see the screen. */
export function isSecret({ name, value }: CredentialEntry): boolean {
  return SECRET_NAME.test(name) || value.includes('PRIVATE KEY-----')
}

function secretSteps(files: readonly string[]): NextSteps | undefined {
  return files.length === 0
    ? undefined
    : {
        text: 'After the download, run this in the directory of the files, so that only you can read them:',
        commands: files.map((file) => `chmod 600 ${file}`),
      }
}

/** Browsers save files readable for everybody, but grid tools refuse keys that others can read. */
function proxySteps(file: string, hasKey: boolean): NextSteps {
  if (!hasKey)
    return {
      text: 'The file has no private key, because you sent a CSR. Grid tools need the key of the CSR in the same file, after the first certificate. Check the certificates with:',
      commands: [`openssl storeutl -noout -text -certs ${file}`],
    }
  const place = '/tmp/x509up_u$(id -u)'
  return {
    text: 'After the download, run this in the directory of the file. Grid tools then find the proxy:',
    commands: [`chmod 600 ${file}`, `mv ${file} ${place}`, 'voms-proxy-info -all'],
  }
}

/** `mv -i` asks before it replaces a certificate from another CA. */
function certificateSteps(certificate: string, key: string | undefined): NextSteps {
  const move = `mv -i ${certificate} ~/.globus/usercert.pem`
  if (key === undefined)
    return {
      text: 'After the download, run this in the directory of the file. Copy the key of your CSR to ~/.globus/userkey.pem, readable only by you:',
      commands: [
        'mkdir -p ~/.globus',
        move,
        'openssl x509 -in ~/.globus/usercert.pem -noout -subject -dates',
      ],
    }
  return {
    text: 'To use the certificate with grid tools, download certificate and key, and run this in their directory. The last command makes a proxy, and asks for the passphrase above:',
    commands: [
      `chmod 600 ${key}`,
      'mkdir -p ~/.globus',
      move,
      `mv -i ${key} ~/.globus/userkey.pem`,
      'voms-proxy-init',
    ],
  }
}

function sshSteps(file: string): NextSteps {
  return {
    text: 'Put the certificate next to its key: ssh looks for the name of the key file with -cert.pub at the end. For the key id_ed25519:',
    commands: [
      `mv -i ${file} ~/.ssh/id_ed25519-cert.pub`,
      'ssh-keygen -L -f ~/.ssh/id_ed25519-cert.pub',
    ],
  }
}
