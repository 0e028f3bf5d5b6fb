package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxover/fluxover/migrate"
)

// hazard is one thing that is known to go wrong when a repository is handed
// over, and what is done about it.
type hazard struct {
	// number is the reference's: 4 for H4.
	number int
	// what happens if nobody does anything about it.
	what string
	// codes of the findings by which it is detected.
	codes []string
	// prevented says how the tool makes it impossible; empty if it does not.
	prevented string
	// steps of the cut-over that do not go on where it would come true.
	steps []string
	// tests that show it, as "package Test".
	tests []string
	// cases are folders or files with an example, from the module's root.
	cases []string
	// open is what is not detected, prevented or gated yet; empty if all is.
	open string
}

// hazards are the reference's, H1 to H72, and behind them those that were found since.
var hazards = []hazard{
	{number: 1, what: "one object that the API server refuses holds back the whole Kustomization, where fluxd applies object by object",
		codes: []string{"DRY_RUN_REFUSED", "BUILD_FAILED"},
		tests: []string{"migrate/proof TestAllRefusalsAreCollectedEachWithItsRemedy", "migrate/proof TestWhatCannotBeBuiltIsNamed"}},
	{number: 2, what: "fluxd and Flux v2 apply the same objects, for ever",
		steps: []string{"fence", "adopt"},
		tests: []string{"migrate/cutover TestTheFenceRefusesEveryWriteOfTheOldAgentWhateverComesBack", "migrate/cutover TestAnOldAgentThatComesBackDuringACrashIsStoppedBeforeAdoption", "e2e/auditor TestVerdictOfEachLog"}},
	{number: 3, what: "the old agent comes back: a Helm upgrade, Terraform or another agent starts it again",
		codes: []string{"AGENT_IN_GIT", "AGENT_IN_GIT_ONLY", "FENCE_DOES_NOT_REACH"}, steps: []string{"fence"},
		tests: []string{"migrate TestPoliciesThatNoFenceReachesAreSaid", "migrate/cutover TestTheFenceRefusesEveryWriteOfTheOldAgentWhateverComesBack", "discover TestClustersAreReadAsTheyAre"},
		cases: []string{"discover/testdata/cluster/two-agents"}},
	{number: 4, what: "fields that somebody set by hand go when ownership is taken over",
		codes: []string{"OBJECT_CHANGES"},
		tests: []string{"migrate/proof TestVerbsSayWhatWillHappenToEachObject", "migrate/proof TestRemovalsForecastsWhatOwnershipTakeOverRemoves"}},
	{number: 5, what: "the mark of a rollout restart goes, and the pods are replaced once more",
		codes: []string{"PODS_RESTART"},
		tests: []string{"migrate/proof TestPodsThatWouldBeReplacedNeedAWord"}},
	{number: 6, what: "a Kustomization is deleted, renamed or moved, and its workloads are deleted with it",
		prevented: "every Kustomization has deletionPolicy: Orphan for good, and is suspended before it is removed",
		tests:     []string{"migrate TestFinalValuesComeFromFluxV1", "reconcile TestRemovalDeletesOnlyWhereTheFieldsSaySo", "migrate/cutover TestThereAndBackAndThereAgain"}},
	{number: 7, what: "a Namespace, PersistentVolumeClaim or PersistentVolume leaves Git, and all it holds goes with it",
		prevented: "such objects are annotated prune: disabled before the Kustomization is resumed, also where nothing is deleted yet, since somebody may turn prune on; by a patch of this Kustomization: write it into the manifest before its file moves to another one",
		tests:     []string{"migrate TestWhatTakesOthersWithItIsNeverPruned", "reconcile TestPruneSparesWhatIsProtectedOrOwnedByAnother"}},
	{number: 8, what: "garbage collection was off for years and is suddenly on",
		prevented: "prune is the old agent's setting, and dry means off",
		tests:     []string{"migrate TestFinalValuesComeFromFluxV1"}},
	{number: 9, what: "leftovers that no inventory holds",
		codes: []string{"STALE_OBJECT", "MARKS_OF_UNKNOWN_SET"},
		tests: []string{"migrate/proof TestVerbsSayWhatWillHappenToEachObject", "discover TestClustersAreReadAsTheyAre"},
		cases: []string{"discover/testdata/cluster/ordinary"}},
	{number: 10, what: "objects without a namespace: fluxd fills one in, Flux v2 fails",
		prevented: "a patch per object writes the namespace that fluxd fills in, and nothing else",
		tests:     []string{"migrate TestNamespacesFilledByFluxdAreWrittenByPatches", "migrate TestAPatchTouchesItsObjectAndNoOther"}},
	{number: 11, what: "objects outside of the agent's allowed namespaces, which fluxd skips and Flux v2 would apply",
		codes:     []string{"FOREIGN_NAMESPACE", "FOREIGN_OBJECT", "FILE_LEFT_OUT"},
		prevented: "a file in which every object is outside is ignored by the source",
		tests:     []string{"migrate TestFilesThatAreLeftOutByNameAreNamed", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "migrate TestWhatFluxdLeavesOutBesideWhatItAppliesHoldsBack"},
		cases:     []string{"migrate/flux1/testdata/load/classes"}},
	{number: 12, what: "cluster-scoped objects of a confined agent, which failed alone and now fail the whole",
		codes: []string{"DRY_RUN_REFUSED"}, steps: []string{"stage"},
		tests: []string{"migrate/proof TestAllRefusalsAreCollectedEachWithItsRemedy", "migrate/proof TestOnceTheOldAccountIsFencedTheNewOneTries"}},
	{number: 13, what: "objects that fluxd is told to ignore become managed",
		codes:     []string{"IGNORE_ANNOTATIONS"},
		prevented: "they are annotated reconcile: disabled before the Kustomization is resumed; those of sync_only, prune: disabled",
		tests:     []string{"migrate TestAPatchTouchesItsObjectAndNoOther", "migrate TestIgnoreAnnotationsOfFluxV1AreSaidToMeanNothingLater", "migrate/proof TestVerbsSayWhatWillHappenToEachObject", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases:     []string{"migrate/flux1/testdata/load/classes"}},
	{number: 14, what: "objects appear that fluxd never applied",
		codes: []string{"OBJECT_CREATED", "LIST_WITHOUT_ITEMS"},
		tests: []string{"migrate/proof TestVerbsSayWhatWillHappenToEachObject", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases: []string{"migrate/flux1/testdata/load/lists"}},
	{number: 15, what: "objects that fluxd applies are missing from what Flux v2 builds",
		codes: []string{"OBJECT_LOST", "LINKED_FILE", "LOCAL_CONFIG"},
		tests: []string{"migrate/proof TestVerbsSayWhatWillHappenToEachObject", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases: []string{"migrate/flux1/testdata/load/links"}},
	{number: 16, what: "YAML that is no manifest breaks the build, where fluxd passes over it",
		codes:     []string{"KINDLESS_DOCUMENT"},
		prevented: "a file in which no document has a kind is ignored by the source",
		tests:     []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "migrate TestIgnoreKeepsTheDefaultExclusions"},
		cases:     []string{"migrate/flux1/testdata/load/traps"}},
	{number: 17, what: "the templates of a Helm chart in the tree break the build",
		codes:     []string{"CHART_IN_TREE"},
		prevented: "the folder of a chart is ignored by the source",
		tests:     []string{"migrate TestIgnoreKeepsTheDefaultExclusions", "discover TestFluxGetStartedHasAutomationAndAChart"},
		cases:     []string{"migrate/flux1/testdata/load/charts", "discover/testdata/checkout/flux-get-started.json"}},
	{number: 18, what: "files of CI in hidden folders, of which Flux v2 leaves out some and builds others",
		codes:     []string{"FILE_TAKEN_BACK", "OBJECT_LOST"},
		prevented: "both read them; a file without objects is ignored by the source, and an object that one side leaves out is found by comparing what both build",
		tests:     []string{"migrate/proof TestVerbsSayWhatWillHappenToEachObject", "reconcile/build TestFixturesRenderAsUpstream"}},
	{number: 19, what: "an ignore list switches the default exclusions off",
		codes:     []string{"FILE_TAKEN_BACK", "SOURCE_IGNORE_UNREADABLE", "OBJECT_CREATED"},
		prevented: "every ignore list that is written repeats the default exclusions; what a .sourceignore lets in or out shows in the comparison of both renderings",
		tests:     []string{"migrate TestIgnoreKeepsTheDefaultExclusions", "reconcile/build TestFixturesRenderAsUpstream", "migrate/proof TestVerbsSayWhatWillHappenToEachObject"},
		cases:     []string{"reconcile/build/testdata/spec-ignore-overrules-sourceignore"}},
	{number: 20, what: "one object in two Kustomizations, repositories or agents: each re-applies it, for ever",
		codes: []string{"DUPLICATE_OBJECT", "OBJECT_IN_TWO_APPLICATIONS", "OBJECT_IN_TWO_REPOSITORIES", "OBJECT_IN_TWO_AGENTS", "OBJECT_OWNED", "SHARED_OBJECTS_UNKNOWN"},
		tests: []string{"migrate/proof TestOneObjectInTwoRepositoriesBlocksBoth", "migrate/proof TestOneObjectInTwoApplicationsBlocks", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "discover TestClustersAreReadAsTheyAre", "e2e/journey TestBadInputIsNamedWithItsRemedyAndChangesNothing"},
		cases: []string{"migrate/flux1/testdata/load/duplicates", "discover/testdata/cluster/two-agents"}},
	{number: 21, what: "one object with its namespace and once more without: fluxd takes either, Flux v2 fails",
		codes: []string{"HIDDEN_DUPLICATE"},
		tests: []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases: []string{"migrate/flux1/testdata/load/hidden-duplicate"}},
	{number: 22, what: "SOPS files that Flux v2 cannot parse, or whose keys it does not get",
		codes:     []string{"SOPS_ENCRYPTED", "SOPS_KIND_ENCRYPTED", "SOPS_CIPHERTEXT"},
		prevented: "files for PGP and age keys that the old agent has are carried over with these keys, and both renderings are compared in plain text",
		tests:     []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "migrate/flux1 TestEncryptedFilesAreDecryptedWhereFluxV2CanDoSoToo", "migrate/proof TestEncryptedFilesAreComparedInPlainTextAndToldWithoutIt", "migrate/proof TestNoPlainTextOfAMixedApplicationIsTold", "migrate/cutover TestDecryptionKeysThatChangedAreSeenBeforeTheOldAgentIsStopped", "reconcile/build TestNoObjectIsAppliedAsCiphertext"},
		cases:     []string{"migrate/flux1/testdata/load/sops"}},
	{number: 23, what: "files of git-secret, for which Flux v2 has no counterpart",
		codes: []string{"GIT_SECRET", "GIT_SECRET_FILES"},
		tests: []string{"migrate/flux1 TestConfigurationsThatCannotWorkAreFindings", "discover TestWhatStandsBesideManifestsIsNamed"}},
	{number: 24, what: "manifests that commands generate, which Flux v2 does not run",
		codes:     []string{"MANIFEST_GENERATION", "GENERATION_NOT_TOLD", "PATCH_LIST_MERGED", "PATCH_NOT_CARRIED", "RENDERING_DIFFERS"},
		prevented: "a folder that a command only has Kustomize build becomes a Kustomization, with what the patch file holds as its patches; anything else is not planned",
		tests: []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "discover TestGeneratorsThatAreMoreThanKustomizeAreNotGuessed", "discover TestWhatKustomizeBuildsForFluxdIsBuiltByAKustomizationAlike",
			"discover TestSdpFluxBecomesOneKustomizationOfItsOverlay"},
		cases: []string{"migrate/flux1/testdata/load/generation"}},
	{number: 25, what: "objects without a name fail what is beside them",
		codes: []string{"NAMELESS_OBJECT"},
		tests: []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases: []string{"migrate/flux1/testdata/load/traps"}},
	{number: 26, what: "a custom resource comes before the definition of its kind",
		codes:     []string{"UNKNOWN_KIND", "FILE_LEFT_OUT"},
		prevented: "an application depends on the one of its repository that defines its kinds",
		tests:     []string{"migrate TestFilesThatAreLeftOutByNameAreNamed", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "migrate TestApplicationsDependOnTheOneThatDefinesTheirNamespace", "migrate TestEveryLayoutBuildsWhatFluxdApplies", "migrate TestWhatFluxdLeavesOutBesideWhatItAppliesHoldsBack"},
		cases:     []string{"migrate/flux1/testdata/load/classes"}},
	{number: 27, what: "an object in a namespace that nobody creates",
		codes:     []string{"DRY_RUN_REFUSED"},
		prevented: "an application depends on the one of its repository that holds its namespace",
		tests:     []string{"migrate TestApplicationsDependOnTheOneThatDefinesTheirNamespace", "migrate/proof TestWhatTheRepositoryItselfMakesFirstIsCreated", "migrate/proof TestAllRefusalsAreCollectedEachWithItsRemedy"}},
	{number: 28, what: "API versions that the cluster no longer serves",
		codes: []string{"UNKNOWN_KIND"},
		tests: []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases: []string{"migrate/flux1/testdata/load/classes"}},
	{number: 29, what: "fields that cannot change and differ from Git, on which fluxd only logs an error",
		codes: []string{"DRY_RUN_REFUSED"},
		tests: []string{"migrate/proof TestAllRefusalsAreCollectedEachWithItsRemedy"}},
	{number: 30, what: "force deletes and remakes objects on any conflict",
		prevented: "force is never written",
		tests:     []string{"migrate TestFinalValuesComeFromFluxV1"}},
	{number: 31, what: "objects that kubectl applied become part of a Helm release",
		codes:     []string{"HELMRELEASE_V1"},
		prevented: "nothing is converted to a HelmRelease",
		tests:     []string{"discover TestHelmOperatorGetStartedHasReleasesOfItsOwnCharts"},
		cases:     []string{"discover/testdata/checkout/helm-operator-get-started.json"}},
	{number: 32, what: "server-side apply is stricter: unknown fields, keys that stand twice, numbers where text is due",
		codes: []string{"DRY_RUN_REFUSED", "DUPLICATE_KEY", "METADATA_NOT_STRING", "PATCH_DIRECTIVE_LEFT", "PATCH_DIRECTIVE_UNREAD"},
		tests: []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "discover TestDirectivesThatStandInAnObjectAreNamed", "migrate/proof TestAllRefusalsAreCollectedEachWithItsRemedy"},
		cases: []string{"migrate/flux1/testdata/load/traps"}},
	{number: 33, what: "an admission webhook that refuses dry-runs",
		codes: []string{"DRY_RUN_REFUSED"},
		tests: []string{"migrate/proof TestAllRefusalsAreCollectedEachWithItsRemedy"}},
	{number: 34, what: "objects too large for kubectl's annotation, which could not be applied by fluxd after a rollback",
		codes: []string{"LARGE_OBJECT"},
		tests: []string{"migrate/flux1 TestWhatKubectlCannotNoteIsNamed"}},
	{number: 35, what: "objects are applied in another order",
		steps: []string{"verify"},
		tests: []string{"reconcile TestAdoptingWhatFluxdAppliedTouchesMetadataOnly", "e2e/journey TestTheClusterHoldsWhatItHeldUnderTheRealPrograms"}},
	{number: 36, what: "a CustomResourceDefinition leaves Git, and all objects of its kind go",
		prevented: "it is annotated prune: disabled before the Kustomization is resumed, also where nothing is deleted yet; by a patch of this Kustomization: write it into the manifest before its file moves to another one",
		tests:     []string{"migrate TestWhatTakesOthersWithItIsNeverPruned"}},
	{number: 37, what: "signatures are verified less strictly",
		codes: []string{"SIGNATURES_WEAKER"},
		tests: []string{"migrate/flux1 TestConfigurationsThatCannotWorkAreFindings"}},
	{number: 38, what: "credentials do not work for the new agent: unknown host key, other data key, expired token",
		codes: []string{"GIT_AUTH", "GIT_HOST_KEY", "CREDENTIAL_MISSING", "KNOWN_HOSTS_MISSING"}, steps: []string{"credentials", "stage"},
		tests: []string{"discover TestClustersAreReadAsTheyAre", "e2e/journey TestBadInputIsNamedWithItsRemedyAndChangesNothing", "migrate TestAServerWhoseKeyIsNotKnownHoldsBack"},
		cases: []string{"discover/testdata/cluster/git-failures"}},
	{number: 39, what: "the deploy key goes with the old release",
		steps: []string{"credentials"},
		tests: []string{"migrate/cutover TestThereAndBackAndThereAgain", "e2e/journey TestAFleetIsHandedOverWhileTeamsCommitAndGoesBack"}},
	{number: 40, what: "the account and roles go with the old release",
		prevented: "the new agent acts as an account of its own; rules of roles that the release owns are copied",
		tests:     []string{"migrate TestRolesOfTheReleaseAreCopiedAndOthersReferenced"}},
	{number: 41, what: "the old agent's namespace is deleted with what else lives in it",
		codes:     []string{"TERRAFORM_OWNS_NAMESPACE"},
		prevented: "no namespace is ever deleted by a command, and the new objects stand in a namespace of their own",
		tests:     []string{"discover TestConfigurationsFoundInPublicGiveWhatTheirSourcesSay", "migrate/cutover TestWhatOthersMadeIsNeverTouched"},
		cases:     []string{"discover/testdata/terraform/teks-on.json"}},
	{number: 42, what: "the helm-operator is part of the old release and goes with it",
		codes: []string{"HELM_OPERATOR_IN_RELEASE"},
		tests: []string{"discover TestClustersAreReadAsTheyAre"},
		cases: []string{"discover/testdata/cluster/ordinary"}},
	{number: 43, what: "a HelmRelease of version 1 leaves Git, and the helm-operator uninstalls the release",
		codes:     []string{"HELMRELEASE_V1"},
		prevented: "such objects are annotated prune: disabled before the Kustomization is resumed",
		tests:     []string{"migrate TestWhatTakesOthersWithItIsNeverPruned", "discover TestHelmOperatorGetStartedHasReleasesOfItsOwnCharts"},
		cases:     []string{"discover/testdata/checkout/helm-operator-get-started.json"}},
	{number: 44, what: "a converted HelmRelease installs a second release beside the first",
		codes: []string{"HELMRELEASE_V1_RELEASE"},
		tests: []string{"discover TestHelmOperatorGetStartedHasReleasesOfItsOwnCharts"},
		cases: []string{"discover/testdata/checkout/helm-operator-get-started.json"}},
	{number: 45, what: "image automation stops",
		codes: []string{"IMAGE_AUTOMATION", "IMAGE_FILTER"},
		tests: []string{"discover TestFluxGetStartedHasAutomationAndAChart"},
		cases: []string{"discover/testdata/checkout/flux-get-started.json"}},
	{number: 46, what: "image tags that stand only in fluxd's patch file or in commits not synced yet are lost",
		codes: []string{"FLUX_PATCH_STATE", "PODS_RESTART", "IMAGE_DIFFERS"}, steps: []string{"top-up"},
		prevented: "what the patch file holds becomes patches of the Kustomization",
		tests:     []string{"discover TestFluxKustomizeExampleKeepsStateInItsPatchFile", "discover TestThePatchFilesOfPublicRepositoriesSurviveTheMigration", "migrate/proof TestPodsThatWouldBeReplacedNeedAWord", "migrate/proof TestAnotherImageIsNamedWhateverHoldsIt"},
		cases:     []string{"discover/testdata/checkout/flux-kustomize-staging.json"}},
	{number: 47, what: "replicas in Git against an autoscaler",
		codes: []string{"REPLICAS_AND_AUTOSCALER", "OBJECT_CHANGES"},
		tests: []string{"migrate TestReplicasThatAnAutoscalerSetsAsWellAreNamed", "migrate/proof TestReplicasThatAnAutoscalerOfTheClusterSetsAreNamedThoughTheyAgreeJustNow", "migrate/proof TestVerbsSayWhatWillHappenToEachObject"}},
	{number: 48, what: "operators copy labels to what they make: marks go, owner labels come, and pods may restart",
		codes: []string{"MARK_HANDED_DOWN", "MARK_HANDED_TO_PODS"},
		tests: []string{"discover TestClustersAreReadAsTheyAre"},
		cases: []string{"discover/testdata/cluster/handed-down"}},
	{number: 49, what: "manifests exported from a cluster, with marks or server-side fields in Git",
		codes: []string{"COPIED_MARK", "EXPORTED_MANIFEST", "DRY_RUN_REFUSED"},
		tests: []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "migrate/flux1 TestWhatAClusterWroteIntoManifestsIsNamed"},
		cases: []string{"migrate/flux1/testdata/load/traps"}},
	{number: 50, what: "${…} in manifests is replaced",
		prevented: "postBuild is never written",
		tests:     []string{"migrate TestFinalValuesComeFromFluxV1"}},
	{number: 51, what: "a path that is a file, the root, or leads out of the repository",
		codes:     []string{"GIT_PATH_OUTSIDE", "GIT_PATH_ABSOLUTE"},
		prevented: "a file becomes its folder, of which a source of its own ignores the rest",
		tests:     []string{"migrate TestApplicationsAreTheTopmostFoldersThatHoldManifests", "migrate/flux1 TestConfigurationsThatCannotWorkAreFindings", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases:     []string{"migrate/flux1/testdata/load/path-is-a-file"}},
	{number: 52, what: "a path is absent or empty at the commit, and everything is pruned",
		codes: []string{"FLUX1_STUCK", "EMPTY_SET", "EMPTY_BUILD"}, steps: []string{"adopt"},
		tests: []string{"migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem", "reconcile TestEmptyBuildDeletesNothingUntilAllowed"},
		cases: []string{"migrate/flux1/testdata/load/path-missing"}},
	{number: 53, what: "fluxd is stuck at an older commit, and Flux v2 would apply the head",
		codes: []string{"FLUX1_STUCK", "FLUX1_STUCK_AT_HEAD", "FLUX1_APPLY_FAILED", "HEAD_NOT_TOLD"}, steps: []string{"stage"},
		prevented: "the source is pinned to the commit that fluxd applied last, until the adoption is verified",
		tests:     []string{"e2e/journey TestBadInputIsNamedWithItsRemedyAndChangesNothing", "discover TestClustersAreReadAsTheyAre"},
		cases:     []string{"migrate/flux1/testdata/load/unparsable"}},
	{number: 54, what: "the old repository is emptied while fluxd still collects garbage",
		prevented: "no command writes to a team's repository",
		steps:     []string{"fence"},
		tests:     []string{"migrate/cutover TestTheFenceRefusesEveryWriteOfTheOldAgentWhateverComesBack"}},
	{number: 55, what: "the branch is another than meant",
		prevented: "the branch is always written",
		tests:     []string{"migrate TestFinalValuesComeFromFluxV1"}},
	{number: 56, what: "large repositories, Git LFS, submodules",
		codes:     []string{"SUBMODULES", "GIT_LFS", "TREE_TOO_LARGE"},
		prevented: "one fetch and one tree per URL and commit, with a limit; the source's timeout is at least a minute; submodules stay off, as with fluxd",
		tests:     []string{"discover TestWhatStandsBesideManifestsIsNamed", "discover TestPointersOfGitLFSAreNoManifests", "reconcile/source TestManyCallersShareOneFetchAndOneTree", "reconcile/source TestLimitsStopAFetch"}},
	{number: 57, what: "proxies, ssh and git configuration, private certificate authorities",
		codes:     []string{"PROXY", "PROXY_UNKNOWN", "CUSTOM_CA", "GIT_CONFIG", "SSH_CONFIG"},
		prevented: "the proxy that fluxd's git uses becomes proxySecretRef, the certificates that it is given to trust become ca.crt; where they stand is told, or it blocks; variables that its git never sees count for nothing, which the ledger says",
		tests:     []string{"discover TestClustersAreReadAsTheyAre", "discover TestProxyCertificatesAndRolesAreFoundByPlace", "discover TestARepositoryIsReadThroughTheAgentsProxyWithItsCertificates", "discover TestAGitConfigurationIsFoundWhereGitLooks", "migrate/flux1 TestGitSeesWhatItsReleaseGivesIt", "e2e/fluxd TestGitIsGivenFewOfTheVariables"},
		cases:     []string{"discover/testdata/cluster/confined"}},
	{number: 58, what: "webhooks and notifications stop",
		codes: []string{"NOTIFICATIONS_STOP"},
		tests: []string{"discover TestClustersAreReadAsTheyAre"},
		cases: []string{"discover/testdata/cluster/confined"}},
	{number: 59, what: "Kubernetes is too old, or rights to install the kinds of Flux v2 are missing",
		codes: []string{"KUBERNETES_TOO_OLD", "FENCE_NOT_SERVED"},
		tests: []string{"discover TestAnAPIServerThatCannotFenceBlocksEverything", "cmd/fluxover TestMigrateIsRefusedWithoutAnyOneOfItsRightsWhichIsNamed"}},
	{number: 60, what: "the kinds of Flux v2 belong to a Helm release and go with it, and every Kustomization with them",
		prevented: "the chart keeps its definitions outside of the release's templates, and uninstalling keeps them",
		tests:     []string{"reconcile/chart TestChartCarriesBothDefinitionsOutsideOfTemplates", "migrate/cutover TestTheClusterAgentIsInstalledOnceAndRemovedOnlyWhenUnused"}},
	{number: 61, what: "a shard or namespace filter of the controllers leaves the new Kustomizations out",
		steps: []string{"stage", "fence"},
		tests: []string{"migrate/cutover TestAnEngineThatDoesNotSeeTheKustomizationsIsFoundBeforeTheFence", "migrate/cutover TestAnExistingEngineIsUsedOnlyIfItIsAtWorkAndKeepsTenantsApart"}},
	{number: 62, what: "a Kustomization waits for another of the same source at the same revision",
		steps: []string{"adopt"},
		tests: []string{"migrate/cutover TestKustomizationsAreResumedAfterThoseTheyNeed", "reconcile TestDependentsAreWokenByTheirDependency"}},
	{number: 63, what: "an object moves from one Kustomization to another, and the first one prunes it",
		codes:     []string{"OBJECT_OWNED", "OWNER_GONE", "MOVED_FILE_DELETED"},
		prevented: "the bundled agent deletes nothing that another Kustomization builds, if that one is there by then, in the same namespace, and its source has the same URL, letter by letter; so add the Kustomization of a new folder before files move there, and give all sources of a repository one spelling",
		tests: []string{"migrate/proof TestVerbsSayWhatWillHappenToEachObject", "migrate/proof TestOnlyAKustomizationThatIsThereOwnsAnObject", "migrate TestAFileThatMovesIsOnlyInDangerWithAnEngineThatDoesNotLook",
			"reconcile TestAFileThatMovesToAnotherApplicationIsNotDeletedAndMadeAnew", "reconcile TestPruneSparesWhatIsProtectedOrOwnedByAnother"}},
	{number: 64, what: "the first apply touches the metadata of every object",
		steps: []string{"verify"},
		tests: []string{"reconcile TestAdoptingWhatFluxdAppliedTouchesMetadataOnly", "migrate/cutover TestAChangeThatWasNotForetoldFailsVerification"}},
	{number: 65, what: "YAML 1.1 against 1.2, keys that stand twice, anchors",
		codes: []string{"RENDERING_DIFFERS", "DUPLICATE_KEY", "NOT_JSON"},
		tests: []string{"migrate/proof TestRenderingsThatDifferAreBlocked", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases: []string{"migrate/flux1/testdata/load/traps"}},
	{number: 66, what: "the repository holds an agent's own manifests, or objects of Flux v2",
		codes: []string{"AGENT_IN_GIT", "FLUX2_OBJECT_IN_GIT"},
		tests: []string{"discover TestNestedAgentsOfMultiTenancyAreFound", "migrate/flux1 TestTreesAreLoadedAsFluxdLoadsThem"},
		cases: []string{"discover/testdata/checkout/multi-tenancy.json", "migrate/flux1/testdata/load/traps"}},
	{number: 67, what: "kinds that fluxd is told not to look at",
		codes: []string{"EXCLUDED_KINDS"},
		tests: []string{"migrate/flux1 TestKindsLeftOutOfTheAgentsViewAreNamed"}},
	{number: 68, what: "two agents of one repository, with different paths or branches",
		codes:     []string{"SYNC_TAG_SHARED", "SAME_SYNC_SET"},
		prevented: "each agent gets a source of its own; the agent fetches one URL and commit once, whoever asks",
		tests:     []string{"discover TestClustersAreReadAsTheyAre", "reconcile/source TestManyCallersShareOneFetchAndOneTree"},
		cases:     []string{"discover/testdata/cluster/two-agents"}},
	{number: 69, what: "the old agent could act if somebody started it",
		steps: []string{"fence"},
		tests: []string{"migrate/cutover TestTheFenceRefusesEveryWriteOfTheOldAgentWhateverComesBack", "migrate/cutover TestAFenceOnASharedAccountRefusesOnlyTheAgentsPods"}},
	{number: 70, what: "one API group that is down stops fluxd",
		codes: []string{"API_GROUP_DOWN", "API_KIND_DOWN"},
		tests: []string{"discover TestAnAPIGroupThatIsDownIsAFinding", "discover TestAKindThatTheServerDoesNotGiveIsAFinding"}},
	{number: 71, what: "an old Ready condition is taken for success",
		steps: []string{"adopt"},
		tests: []string{"migrate/cutover TestAnEngineThatStoppedSinceItStagedIsAskedAgainBeforeTheFence", "migrate/cutover TestTheBundledAgentTakesOverFromARealGitServer"}},
	{number: 72, what: "the repository moves between plan and cut-over",
		steps: []string{"recheck", "top-up"},
		tests: []string{"migrate/cutover TestAMovedPlanIsRefusedAndNothingChanges", "migrate/cutover TestAMarkThatMovedWhileTheOldAgentEndedIsRepinnedBehindTheFence", "e2e/journey TestOperatorsAreToldWhatIsSo"}},
	{number: 73, what: "a folder that comes after the hand-over, beside those that have a Kustomization, is applied by nobody",
		codes: []string{"NEW_FOLDER_NOT_APPLIED"},
		tests: []string{"migrate TestWhatALaterCommitAddsIsAppliedOrAFindingSaysThatItIsNot"}},
}

func TestEveryHazardIsDetectedPreventedGatedOrListedAsOpen(t *testing.T) {
	src := parseSource(t)
	tests := src.testFunctions()
	names := map[string]bool{}
	for _, c := range catalogue() {
		names[c.Name] = true
	}
	steps := src.steps()
	for i, h := range hazards {
		if h.number != i+1 {
			t.Fatalf("H%d stands at place %d", h.number, i+1)
		}
		handled := len(h.codes) > 0 || h.prevented != "" || len(h.steps) > 0
		if !handled && h.open == "" {
			t.Errorf("H%d: nothing is done about it, and it is not listed as open", h.number)
		}
		if handled && len(h.tests) == 0 {
			t.Errorf("H%d: no test shows it", h.number)
		}
		for _, c := range h.codes {
			if !names[c] {
				t.Errorf("H%d: there is no finding %s", h.number, c)
			}
		}
		for _, s := range h.steps {
			if !slices.Contains(steps, s) {
				t.Errorf("H%d: the cut-over has no step %s", h.number, s)
			}
		}
		for _, name := range h.tests {
			dir, test, ok := strings.Cut(name, " ")
			if !ok || !tests[dir][test] {
				t.Errorf("H%d: there is no test %s", h.number, name)
			}
		}
		for _, c := range h.cases {
			if _, err := os.Stat(filepath.Join(moduleRoot, filepath.FromSlash(c))); err != nil {
				t.Errorf("H%d: %v", h.number, err)
			}
		}
	}
	if len(hazards) != 73 {
		t.Errorf("the table has %d hazards of 73", len(hazards))
	}
}

// inPlan is a place where a hazard is seen before anything happens: a golden of
// a plan, by its name, and a text that it holds, or with "!" that it does not.
type inPlan struct{ golden, says string }

// seenInPlans are the plans in which each hazard is seen, with little else:
// found, or prevented.
var seenInPlans = map[int][]inPlan{
	1:  {{"hazard-one-object-is-refused", "is not good enough"}},
	3:  {{"hazard-agent-in-git", "code: AGENT_IN_GIT"}, {"cluster-agent-in-git-only", "code: AGENT_IN_GIT_ONLY"}},
	4:  {{"hazard-hand-set-fields", ".data.by-hand"}},
	5:  {{"hazard-restarted-by-hand", "code: PODS_RESTART"}},
	6:  {{"hazard-nothing-special", "deletionPolicy: Orphan"}},
	7:  {{"hazard-takes-others-with-it", prunesNot("shop_data__PersistentVolumeClaim")}, {"hazard-takes-others-with-it", prunesNot("_shop__Namespace")}, {"hazard-takes-others-with-it", prunesNot("_disk__PersistentVolume")}},
	8:  {{"hazard-garbage-collection-off", "prune: false"}, {"hazard-garbage-collection-dry", "prune: false"}},
	9:  {{"hazard-no-longer-in-git", "code: STALE_OBJECT"}, {"cluster-mark-of-nobody", "code: MARKS_OF_UNKNOWN_SET"}},
	10: {{"hazard-no-namespace", "/metadata/namespace"}},
	11: {{"hazard-outside-of-the-allowed-namespaces", "code: FOREIGN_OBJECT"}, {"hazard-outside-of-the-allowed-namespaces", "/p/bank/c.yaml"}},
	12: {{"hazard-cluster-scoped-object-of-a-confined-agent", "the account lacks the right"}},
	13: {{"hazard-ignored-by-fluxd", leftAlone("shop_b__ConfigMap")}, {"hazard-ignored-by-fluxd", prunesNot("shop_c__ConfigMap")}, {"cluster-ignored-in-the-cluster", leftAlone("shop_a__ConfigMap")}},
	14: {{"hazard-not-in-the-cluster", "code: OBJECT_CREATED"}},
	15: {{"hazard-left-out-by-flux2", "code: OBJECT_LOST"}, {"hazard-linked-file", "code: LINKED_FILE"}},
	16: {{"hazard-no-manifest", "code: KINDLESS_DOCUMENT"}, {"hazard-no-manifest", "/p/app/values.yaml"}},
	17: {{"hazard-chart-in-the-tree", "/p/chart/\n"}},
	18: {{"hazard-files-of-ci", "/p/.gitlab/ci.yaml\n"}, {"hazard-files-of-ci", "code: FILE_TAKEN_BACK"}},
	19: {{"hazard-sourceignore", "code: FILE_TAKEN_BACK"}, {"hazard-sourceignore", ".github/\n"}, {"hazard-sourceignore-that-cannot-be-read", "code: SOURCE_IGNORE_UNREADABLE"}},
	20: {{"hazard-one-object-in-two-repositories", "code: OBJECT_IN_TWO_REPOSITORIES"}},
	21: {{"load-hidden-duplicate", "code: HIDDEN_DUPLICATE"}},
	22: {{"load-sops", "code: SOPS_ENCRYPTED"}, {"load-sops", "code: SOPS_KIND_ENCRYPTED"}, {"load-sops-off", "code: SOPS_CIPHERTEXT"}},
	23: {{"hazard-git-secret", "code: GIT_SECRET\n"}, {"hazard-git-secret", "code: GIT_SECRET_FILES"}},
	24: {{"hazard-generated-by-another-command", "code: GENERATION_NOT_TOLD"}, {"hazard-patch-that-kustomize-does-not-read", "code: PATCH_NOT_CARRIED"}, {"hazard-patch-of-a-list-that-fluxd-replaces", "code: PATCH_LIST_MERGED"}},
	25: {{"hazard-no-name", "code: NAMELESS_OBJECT"}},
	26: {{"hazard-kind-defined-beside-its-objects", "dependsOn:\n      - name: team-kinds"}},
	27: {{"hazard-namespace-that-nobody-makes", "see whether namespace gone exists"}},
	28: {{"hazard-kind-no-longer-served", "code: UNKNOWN_KIND"}},
	29: {{"hazard-immutable-field", "the field cannot be changed once it is set"}},
	30: {{"hazard-immutable-field", "!force: true"}},
	31: {{"hazard-release-of-the-helm-operator", "!kind: HelmRelease\n"}},
	32: {{"hazard-unknown-field", "the kind has no such field"}, {"hazard-a-number-for-text", "code: METADATA_NOT_STRING"}, {"hazard-name-that-is-a-number", "code: METADATA_NOT_STRING"}, {"hazard-patch-that-is-loaded-as-an-object", "code: PATCH_DIRECTIVE_LEFT"}, {"hazard-patch-that-kustomize-passes-over", "code: PATCH_DIRECTIVE_UNREAD"}},
	33: {{"hazard-webhook-that-refuses-dry-runs", "an admission webhook refuses dry-runs"}},
	34: {{"hazard-large", "code: LARGE_OBJECT"}},
	36: {{"hazard-definition-in-git", prunesNot("_widgets.example.com_apiextensions.k8s.io_CustomResourceDefinition")}},
	37: {{"hazard-signatures", "code: SIGNATURES_WEAKER"}},
	38: {{"hazard-unknown-host-key", "code: KNOWN_HOSTS_MISSING"}},
	39: {{"hazard-deploy-key", "name: team-git-deploy\n        namespace: flux"}},
	40: {{"hazard-roles-of-the-release", "kind: Role\n"}},
	41: {{"terraform-osdu-helm-given", "code: TERRAFORM_OWNS_NAMESPACE"}},
	42: {{"cluster-helm-operator-in-the-release", "code: HELM_OPERATOR_IN_RELEASE"}},
	43: {{"hazard-release-of-the-helm-operator", prunesNot("shop_cache_helm.fluxcd.io_HelmRelease")}},
	44: {{"hazard-release-of-the-helm-operator", "code: HELMRELEASE_V1_RELEASE"}},
	45: {{"hazard-image-automation", "code: IMAGE_AUTOMATION"}, {"hazard-image-automation", "code: IMAGE_FILTER"}},
	46: {{"hazard-image-in-the-patch-file", "shop/web:1.4"}, {"hazard-another-image", "code: IMAGE_DIFFERS"}},
	47: {{"hazard-replicas-and-an-autoscaler", "code: REPLICAS_AND_AUTOSCALER"}},
	48: {{"cluster-mark-handed-down", "code: MARK_HANDED_DOWN"}, {"cluster-mark-handed-down", "code: MARK_HANDED_TO_PODS"}},
	49: {{"hazard-exported-from-a-cluster", "code: EXPORTED_MANIFEST"}, {"hazard-mark-in-git", "code: COPIED_MARK"}},
	50: {{"hazard-substitution", "!postBuild"}},
	51: {{"hazard-path-that-leads-outside", "code: GIT_PATH_OUTSIDE"}, {"hazard-path-from-the-root", "code: GIT_PATH_ABSOLUTE"}, {"load-path-is-a-file", "path: ./"}},
	52: {{"hazard-nothing-at-the-path", "code: EMPTY_SET"}, {"hazard-nothing-is-built", "code: EMPTY_BUILD"}, {"load-path-missing", "code: FLUX1_STUCK"}},
	53: {{"cluster-stuck-behind-the-head", "code: FLUX1_STUCK_AT_HEAD"}, {"cluster-unapplied", "code: FLUX1_APPLY_FAILED"}, {"cluster-head-not-told", "code: HEAD_NOT_TOLD"}},
	55: {{"hazard-no-branch", "branch: master"}},
	56: {{"hazard-submodules", "code: SUBMODULES"}, {"hazard-git-lfs", "code: GIT_LFS"}, {"hazard-too-large-to-read", "code: TREE_TOO_LARGE"}},
	57: {{"cluster-proxy-in-pieces", "code: PROXY_UNKNOWN"}, {"cluster-git-configuration", "code: GIT_CONFIG"}},
	58: {{"hazard-notifications", "code: NOTIFICATIONS_STOP"}},
	59: {{"cluster-old-kubernetes", "code: KUBERNETES_TOO_OLD"}, {"cluster-no-admission-policies", "code: FENCE_NOT_SERVED"}},
	63: {{"hazard-owned-by-another-kustomization", "code: OBJECT_OWNED"}, {"hazard-labels-of-a-flux2-that-is-gone", "code: OWNER_GONE"}, {"hazard-files-that-move-under-stock-flux2", "code: MOVED_FILE_DELETED"}},
	65: {{"hazard-yaml-1-1", "code: RENDERING_DIFFERS"}, {"hazard-a-key-that-stands-twice", "code: DUPLICATE_KEY"}},
	66: {{"hazard-object-of-flux2", "code: FLUX2_OBJECT_IN_GIT"}},
	67: {{"hazard-kinds-that-fluxd-does-not-look-at", "code: EXCLUDED_KINDS"}},
	68: {{"cluster-one-repository-two-paths", "code: SYNC_TAG_SHARED"}},
	70: {{"cluster-api-down", "code: API_GROUP_DOWN"}, {"cluster-kind-down", "code: API_KIND_DOWN"}},
	73: {{"hazard-nothing-special", "code: NEW_FOLDER_NOT_APPLIED"}},
}

// prunesNot and leftAlone are what a plan says of an object that it protects.
func prunesNot(id string) string { return addition("prune", id) }
func leftAlone(id string) string { return addition("reconcile", id) }

func addition(key, id string) string {
	return fmt.Sprintf("key: kustomize.toolkit.fluxcd.io/%s\n    object: %s\n    type: annotation\n    value: disabled", key, id)
}

// inCutover says why a plan cannot show a hazard, and which of its tests does.
type inCutover struct{ why, test string }

// notInPlans are the hazards that come true in the cut-over or afterwards alone.
var notInPlans = map[int]inCutover{
	2:  {"two agents write only once the new one works: the fence and the adoption", "migrate/cutover TestTheFenceRefusesEveryWriteOfTheOldAgentWhateverComesBack"},
	35: {"the order of writes is the new agent's: it must not matter, which each adoption verifies", "e2e/journey TestTheClusterHoldsWhatItHeldUnderTheRealPrograms"},
	54: {"it is what people would do to their repository, while the old agent still runs: its fence, and no command that writes there", "migrate/cutover TestTheFenceRefusesEveryWriteOfTheOldAgentWhateverComesBack"},
	60: {"it is how the new agent is installed: its chart", "reconcile/chart TestChartCarriesBothDefinitionsOutsideOfTemplates"},
	61: {"what the new agent watches is seen when it is there: before the fence", "migrate/cutover TestAnEngineThatDoesNotSeeTheKustomizationsIsFoundBeforeTheFence"},
	62: {"it is about waiting: the order in which Kustomizations are resumed", "migrate/cutover TestKustomizationsAreResumedAfterThoseTheyNeed"},
	64: {"every hand-over does this: that it is metadata alone, each adoption verifies", "reconcile TestAdoptingWhatFluxdAppliedTouchesMetadataOnly"},
	69: {"it is about the time after the stop: the fence", "migrate/cutover TestTheFenceRefusesEveryWriteOfTheOldAgentWhateverComesBack"},
	71: {"it is about what is read after resuming: the adoption asks anew", "migrate/cutover TestAnEngineThatStoppedSinceItStagedIsAskedAgainBeforeTheFence"},
	72: {"it comes after the plan: the checks before and behind the fence", "migrate/cutover TestAMarkThatMovedWhileTheOldAgentEndedIsRepinnedBehindTheFence"},
}

// mostBeside is how many kinds of warnings and blockers beside its own a plan may
// hold that shows a hazard: what follows of the same cause.
const mostBeside = 4

// Beside the tests that it names, each hazard must be seen in a plan, as its
// reviewer would see it.
func TestEveryHazardThatAPlanCanShowHasAGolden(t *testing.T) {
	plans, texts := goldenPlans(t)
	shown := map[string]bool{}
	for _, plan := range plans {
		for _, f := range plan.Findings {
			shown[f.Code] = true
		}
	}
	for _, h := range hazards {
		for _, c := range h.codes {
			if !shown[c] {
				t.Errorf("H%d: no golden of a plan shows %s", h.number, c)
			}
		}
		later, isLater := notInPlans[h.number]
		switch places := seenInPlans[h.number]; {
		case (len(places) > 0) == isLater:
			t.Errorf("H%d: want the golden of a plan that shows it, or the test of the cut-over that does, and not both", h.number)
		case isLater && (len(h.codes) > 0 || !slices.Contains(h.tests, later.test)):
			t.Errorf("H%d: it is found in plans, or %s is none of its tests", h.number, later.test)
		}
		for _, place := range seenInPlans[h.number] {
			golden, ok := texts[place.golden]
			says, absent := strings.CutPrefix(place.says, "!")
			if !ok || strings.Contains(golden, says) == absent {
				t.Errorf("H%d: the plan %s is not as it must be: %q", h.number, place.golden, place.says)
			}
			var beside []string
			for _, f := range plans[place.golden].Findings {
				if f.Severity != migrate.Info && !slices.Contains(h.codes, f.Code) && !slices.Contains(beside, f.Code) {
					beside = append(beside, f.Code)
				}
			}
			if len(beside) > mostBeside {
				t.Errorf("H%d: the plan %s shows much else: %q", h.number, place.golden, beside)
			}
		}
	}
}

func TestHazardsPageIsWhatTheCodeSays(t *testing.T) {
	checkDocument(t, "hazards.md", hazardsPage())
}

// openSentence says how many hazards are not handled, and which.
func openSentence() string {
	open := openHazards()
	if len(open) == 0 {
		return fmt.Sprintf("None of the %d hazards is open.", len(hazards))
	}
	return fmt.Sprintf("Of %d hazards, %d are open in part or whole: %s.", len(hazards), len(open), strings.Join(open, ", "))
}

// openHazards are the numbers of those of which something is not handled yet.
func openHazards() []string {
	var open []string
	for _, h := range hazards {
		if h.open != "" {
			open = append(open, fmt.Sprintf("H%d", h.number))
		}
	}
	return open
}

// hazardsPage writes docs/hazards.md.
func hazardsPage() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Hazards

Generated by `+"`make generate`"+` from the table in `+"`cmd/fluxover/hazards_test.go`"+`; a test holds the table to the findings,
steps and tests that it names.

What is known to go wrong when a repository is handed over from Flux v1 to Flux v2, and what is done about it: it is
*detected* by a finding before anything changes, *prevented*, so that it cannot come true, or *gated*: a step of the
cut-over ([cutover.md](cutover.md)) does not go on where it would. %s

| hazard | detected by | prevented | gated in | open |
|---|---|---|---|---|
`, openSentence())
	for _, h := range hazards {
		mark := func(yes bool, text string) string {
			if yes {
				return text
			}
			return ""
		}
		fmt.Fprintf(&b, "| [H%d](#h%d) %s | %s | %s | %s | %s |\n", h.number, h.number, cell(h.what), strings.Join(codeLinks(h.codes), ", "),
			mark(h.prevented != "", "yes"), strings.Join(h.steps, ", "), mark(h.open != "", "open"))
	}
	for _, h := range hazards {
		fmt.Fprintf(&b, "\n## H%d\n\n%s.\n\n", h.number, sentenceCase(h.what))
		if len(h.codes) > 0 {
			fmt.Fprintf(&b, "- Detected: %s\n", strings.Join(codeLinks(h.codes), ", "))
		}
		if h.prevented != "" {
			fmt.Fprintf(&b, "- Prevented: %s\n", h.prevented)
		}
		if len(h.steps) > 0 {
			fmt.Fprintf(&b, "- Gated in: %s\n", strings.Join(h.steps, ", "))
		}
		for _, test := range h.tests {
			dir, name, _ := strings.Cut(test, " ")
			fmt.Fprintf(&b, "- Test: `%s` in `%s`\n", name, dir)
		}
		for _, c := range h.cases {
			fmt.Fprintf(&b, "- Case: `%s`\n", c)
		}
		var plans []string
		for _, place := range seenInPlans[h.number] {
			plans = append(plans, "`"+place.golden+".yaml`")
		}
		if len(plans) > 0 {
			fmt.Fprintf(&b, "- Plan: %s in `discover/testdata/plan`\n", strings.Join(slices.Compact(plans), ", "))
		}
		if later, ok := notInPlans[h.number]; ok {
			_, test, _ := strings.Cut(later.test, " ")
			fmt.Fprintf(&b, "- Not in a plan: %s; see `%s`\n", later.why, test)
		}
		if h.open != "" {
			fmt.Fprintf(&b, "- Open: %s\n", h.open)
		}
	}
	return b.String()
}

func codeLinks(codes []string) []string {
	var out []string
	for _, c := range codes {
		out = append(out, fmt.Sprintf("[%s](findings.md#%s)", c, strings.ToLower(c)))
	}
	return out
}
