import eu.emi.security.authn.x509.CrlCheckingMode;
import eu.emi.security.authn.x509.NamespaceCheckingMode;
import eu.emi.security.authn.x509.OCSPCheckingMode;
import eu.emi.security.authn.x509.OCSPParametes;
import eu.emi.security.authn.x509.ProxySupport;
import eu.emi.security.authn.x509.RevocationParameters;
import eu.emi.security.authn.x509.ValidationResult;
import eu.emi.security.authn.x509.impl.OpensslCertChainValidator;
import eu.emi.security.authn.x509.impl.PEMCredential;
import eu.emi.security.authn.x509.impl.ValidatorParams;
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.italiangrid.voms.clients.ProxyInitParams;
import org.italiangrid.voms.clients.impl.DefaultVOMSCommandsParser;
import org.italiangrid.voms.clients.impl.DefaultVOMSProxyInitBehaviour;
import org.italiangrid.voms.clients.impl.ProxyInitListenerHelper;
import org.italiangrid.voms.clients.util.MessageLogger;

/**
 * Judges credentials with caNl-Java and with the code of voms-proxy-init3, all in one Java process. Each line of
 * standard input has a party, a proxy file, a trust directory and a file to write, separated by tabs. The answer is
 * one line: "accepted", or "refused" with the reason in base64.
 */
public final class JudgeCredentials {
  public static void main(String[] args) throws Exception {
    BufferedReader input =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream answers = System.out;
    // The libraries print their messages there.
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    for (String line = input.readLine(); line != null; line = input.readLine()) {
      String[] fields = line.split("\t");
      String reason;
      try {
        reason = fields[0].equals("caNl-Java")
            ? judgeWithCanl(fields[1], fields[2])
            : judgeWithVoms(fields[1], fields[2], fields[3]);
      } catch (Throwable problem) {
        reason = String.valueOf(problem);
      }
      answers.println(reason == null ? "accepted" : "refused " + encode(reason));
    }
  }

  private static String encode(String text) {
    return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
  }

  /** As a server that requires a namespace policy and goes by the CRLs that there are. */
  private static String judgeWithCanl(String proxy, String trust) throws Exception {
    PEMCredential credential = new PEMCredential(new FileInputStream(proxy), (char[]) null);
    RevocationParameters revocation = new RevocationParameters(
        CrlCheckingMode.IF_VALID, new OCSPParametes(OCSPCheckingMode.IGNORE));
    OpensslCertChainValidator validator = new OpensslCertChainValidator(
        trust, true, NamespaceCheckingMode.EUGRIDPMA_GLOBUS_REQUIRE, -1,
        new ValidatorParams(revocation, ProxySupport.ALLOW), true);
    try {
      ValidationResult result = validator.validate(credential.getCertificateChain());
      return result.isValid() ? null : result.toString();
    } finally {
      validator.dispose();
    }
  }

  /** As voms-proxy-init3 -noregen -verify: derives a proxy from the proxy. */
  private static String judgeWithVoms(String proxy, String trust, String out) {
    ProxyInitParams params = new ProxyInitParams();
    params.setNoRegen(true);
    params.setCertFile(proxy);
    params.setTrustAnchorsDir(trust);
    params.setValidateUserCredential(true);
    params.setGeneratedProxyFile(out);
    // The key of the new proxy takes most of the time.
    params.setKeySize(1024);
    ProxyInitListenerHelper listener = new ProxyInitListenerHelper(new MessageLogger());
    new DefaultVOMSProxyInitBehaviour(new DefaultVOMSCommandsParser(), listener).initProxy(params);
    return null;
  }
}
