/** The ASN.1 parser of node-forge, loaded alone. */
declare module 'node-forge/lib/asn1.js' {
  interface ParsedNode {
    readonly tagClass: number
    readonly type: number
    readonly constructed: boolean
    readonly value: string | readonly ParsedNode[]
  }
  const asn1: {
    fromDer(
      bytes: string,
      options: {
        strict: boolean
        parseAllBytes: boolean
        decodeBitStrings: boolean
        maxDepth: number
      },
    ): ParsedNode
  }
  export default asn1
}
