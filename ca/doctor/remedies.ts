/** Remedies that several rules share. They must be true of every CA, not only of that of the service. */

export const installRemedy =
  'Install the trust anchors of this CA, for example its package of the IGTF, or for a CA of this service the archive that the service publishes. They have all file names and links.'

export const newCrlRemedy =
  'Run fetch-crl, or install the current CRL of this CA. For a CA of this service, `tts ca crl` prints it.'
