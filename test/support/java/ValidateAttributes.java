import eu.emi.security.authn.x509.CrlCheckingMode;
import eu.emi.security.authn.x509.NamespaceCheckingMode;
import eu.emi.security.authn.x509.OCSPCheckingMode;
import eu.emi.security.authn.x509.OCSPParametes;
import eu.emi.security.authn.x509.ProxySupport;
import eu.emi.security.authn.x509.RevocationParameters;
import eu.emi.security.authn.x509.impl.OpensslCertChainValidator;
import eu.emi.security.authn.x509.impl.PEMCredential;
import eu.emi.security.authn.x509.impl.ValidatorParams;
import java.io.FileInputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import java.util.List;
import org.italiangrid.voms.VOMSAttribute;
import org.italiangrid.voms.VOMSValidators;
import org.italiangrid.voms.ac.VOMSACValidator;
import org.italiangrid.voms.store.VOMSTrustStores;

/**
 * Validates the attributes of proxies with voms-api-java, as dCache and StoRM do. Arguments: a proxy file, a trust
 * directory and a vomsdir, again and again. Prints a line for each: the FQANs that hold.
 */
public final class ValidateAttributes {
  public static void main(String[] args) throws Exception {
    PrintStream answers = System.out;
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    for (int at = 0; at + 2 < args.length; at += 3)
      answers.println(String.join(" ", fqans(args[at], args[at + 1], args[at + 2])));
    // The validators' threads would go on for ever.
    System.exit(0);
  }

  private static List<String> fqans(String proxy, String trust, String vomsdir) throws Exception {
    X509Certificate[] chain =
        new PEMCredential(new FileInputStream(proxy), (char[]) null).getCertificateChain();
    RevocationParameters revocation = new RevocationParameters(
        CrlCheckingMode.IF_VALID, new OCSPParametes(OCSPCheckingMode.IGNORE));
    VOMSACValidator validator = VOMSValidators.newValidator(
        VOMSTrustStores.newTrustStore(Arrays.asList(vomsdir)),
        new OpensslCertChainValidator(trust, true, NamespaceCheckingMode.EUGRIDPMA_GLOBUS_REQUIRE,
            -1, new ValidatorParams(revocation, ProxySupport.ALLOW)));
    List<VOMSAttribute> attributes = validator.validate(chain);
    return attributes.isEmpty() ? Arrays.asList("none") : attributes.get(0).getFQANs();
  }
}
