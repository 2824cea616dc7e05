import java.io.OutputStream;
import java.io.PrintStream;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.X509Certificate;
import org.globus.gsi.GSIConstants;
import org.globus.gsi.X509Credential;
import org.globus.gsi.bc.BouncyCastleCertProcessingFactory;

/**
 * Reads each proxy file that is an argument with JGlobus, verifies it by the trust directory of the system property
 * X509_CERT_DIR, and derives a proxy from it. Prints a line for each: the identity that JGlobus finds, "no key", or the
 * error.
 */
public final class ReadWithJGlobus {
  public static void main(String[] paths) {
    PrintStream answers = System.out;
    // Where log4j prints its messages.
    System.setOut(new PrintStream(OutputStream.nullOutputStream()));
    for (String path : paths) {
      answers.println(read(path).replace('\n', ' '));
    }
  }

  private static String read(String path) {
    try {
      X509Credential credential = new X509Credential(path);
      PrivateKey key = credential.getPrivateKey();
      if (key == null) {
        return "no key";
      }
      if (!belongsTo(key, credential.getCertificateChain()[0])) {
        return "another key";
      }
      credential.verify();
      X509Credential derived =
          BouncyCastleCertProcessingFactory.getDefault()
              .createCredential(
                  credential.getCertificateChain(),
                  key,
                  2048,
                  3600,
                  GSIConstants.CertificateType.GSI_4_IMPERSONATION_PROXY);
      derived.verify();
      return derived.getIdentity();
    } catch (Exception error) {
      return error.toString();
    }
  }

  private static boolean belongsTo(PrivateKey key, X509Certificate certificate) throws Exception {
    byte[] data = {1, 2, 3};
    Signature signing = Signature.getInstance("SHA256withRSA");
    signing.initSign(key);
    signing.update(data);
    Signature verifying = Signature.getInstance("SHA256withRSA");
    verifying.initVerify(certificate);
    verifying.update(data);
    return verifying.verify(signing.sign());
  }
}
