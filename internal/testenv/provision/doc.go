// Package provision installs the servers and foreign SDKs that tests run against, into a cache folder that all checkouts
// share.
//
// It is not a packager: versions are pinned here, in kafka/pom.xml, aws/requirements.txt, sdk/ and kit/, everything comes through
// the ordinary clients of the package registries (Maven, pip, npm, apt-get), and nothing is changed outside of the cache
// folder, except that a missing Java, Maven, Python, Node.js or curl is installed when we are root on a Debian-like system.
//
// The life of an installation: its folder's name carries version and a hash of what it is made from; who finds it missing
// takes the lock file beside it, installs into a folder of another name, and renames that when all of it is there. So an
// interrupted installation is never taken for a whole one, and of several test processes one installs while the others
// wait. Progress goes to standard error.
package provision
